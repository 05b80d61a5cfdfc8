# vitest runs tests in processes of its own, which it talks to through pipes of
# sockets.
job "vitest" {
  type = "batch"

  group "vitest" {
    task "vitest" {
      driver = "harn"

      config {
        command = "/bin/bash"
        args = ["-ec", <<-EOT
          cd $NOMAD_TASK_DIR
          ln -s /usr/local/lib/programs/node_modules node_modules
          echo 'import { expect, test } from "vitest"; test("sum", () => expect(40 + 2).toBe(42))' > sum.test.js
          vitest run --pool=forks --cache=false
        EOT
        ]

        capability_policy {
          side_effect_level = "process_exec"
          workspace_roots   = ["local"]
        }
      }

      resources {
        cpu    = 500
        memory = 1024
      }
    }
  }
}
