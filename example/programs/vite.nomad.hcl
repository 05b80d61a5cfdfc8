# vite builds a page. Its development server needs level network and a port.
job "vite" {
  type = "batch"

  group "vite" {
    task "vite" {
      driver = "harn"

      config {
        command = "/bin/bash"
        args = ["-ec", <<-EOT
          cd $NOMAD_TASK_DIR
          echo '<script type="module" src="/main.js"></script>' > index.html
          echo 'import { text } from "./text.js"; document.title = text' > main.js
          echo 'export const text = "built by vite"' > text.js
          vite build
          grep -o 'built by vite' dist/assets/*.js
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
