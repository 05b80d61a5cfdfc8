# multiprocessing.Manager serves its objects on a UNIX socket in the task's
# directory.
job "python-manager" {
  type = "batch"

  group "python-manager" {
    task "python-manager" {
      driver = "harn"

      config {
        command = "/bin/bash"
        args = ["-ec", <<-EOT
          cd $NOMAD_TASK_DIR
          cat > main.py <<'SCRIPT'
          import multiprocessing

          def work(shared):
              shared["sum"] = 40 + 2

          if __name__ == "__main__":
              with multiprocessing.Manager() as manager:
                  shared = manager.dict()
                  process = multiprocessing.Process(target=work, args=(shared,))
                  process.start()
                  process.join()
                  print("the manager has", shared["sum"])
          SCRIPT
          /usr/bin/python3 main.py
        EOT
        ]

        capability_policy {
          side_effect_level = "network"
          workspace_roots   = ["local"]
          tcp_connect       = []
          tcp_bind          = [0]
        }
      }

      resources {
        cpu    = 500
        memory = 256
      }
    }
  }
}
