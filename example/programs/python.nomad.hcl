# Python with asyncio, multiprocessing and sqlite.
job "python" {
  type = "batch"

  group "python" {
    task "python" {
      driver = "harn"

      config {
        command = "/bin/bash"
        args = ["-ec", <<-EOT
          cd $NOMAD_TASK_DIR
          cat > main.py <<'SCRIPT'
          import asyncio, multiprocessing, sqlite3, subprocess

          def double(n):
              return 2 * n

          async def main():
              child = await asyncio.create_subprocess_exec("echo", "asyncio's child", stdout=subprocess.PIPE)
              print((await child.communicate())[0].decode().strip())
              print("a thread says", await asyncio.to_thread(double, 21))

          if __name__ == "__main__":
              asyncio.run(main())
              with multiprocessing.Pool(2) as pool:
                  print("a pool says", pool.map(double, [1, 2]))
              db = sqlite3.connect("numbers.db")
              db.execute("create table numbers(n)")
              db.executemany("insert into numbers values (?)", [(40,), (2,)])
              db.commit()
              print("sqlite says", db.execute("select sum(n) from numbers").fetchone()[0])
          SCRIPT
          /usr/bin/python3 main.py
        EOT
        ]

        capability_policy {
          side_effect_level = "process_exec"
          workspace_roots   = ["local"]
        }
      }

      resources {
        cpu    = 500
        memory = 256
      }
    }
  }
}
