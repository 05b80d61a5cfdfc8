# tsc checks and compiles, node runs what comes of it.
job "typescript" {
  type = "batch"

  group "typescript" {
    task "typescript" {
      driver = "harn"

      config {
        command = "/bin/bash"
        args = ["-ec", <<-EOT
          cd $NOMAD_TASK_DIR
          echo 'const sum = (a: number, b: number): number => a + b; console.log("the sum is", sum(40, 2));' > sum.ts
          tsc --target es2022 --module es2022 sum.ts
          node sum.js
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
