# node with child processes, workers, and a native module: better-sqlite3.
job "node" {
  type = "batch"

  group "node" {
    task "node" {
      driver = "harn"

      config {
        command = "/bin/bash"
        args = ["-ec", <<-EOT
          cd $NOMAD_TASK_DIR
          cat > main.cjs <<'SCRIPT'
          const { execSync, fork } = require('node:child_process');
          const Database = require('/usr/local/lib/programs/node_modules/better-sqlite3');
          if (process.send) {
            process.on('message', (m) => process.send(m * 2, () => process.exit()));
          } else {
            console.log(execSync('echo a child process').toString().trim());
            const db = new Database('numbers.db');
            db.pragma('journal_mode = WAL');
            db.exec('create table numbers(n); insert into numbers values (40), (2)');
            console.log('sqlite says', db.prepare('select sum(n) as sum from numbers').get().sum);
            const child = fork(__filename);
            child.on('message', (m) => console.log('a forked process says', m));
            child.send(21);
          }
          SCRIPT
          node main.cjs
        EOT
        ]

        capability_policy {
          side_effect_level = "process_exec"
          workspace_roots   = ["local"]
        }
      }

      resources {
        cpu    = 500
        memory = 512
      }
    }
  }
}
