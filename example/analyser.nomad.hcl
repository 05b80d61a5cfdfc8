# A read-only analyser: it may read and list its workspace, and change nothing
# in it. Scratch files go to /tmp, which is the task's own.
job "analyser" {
  type = "batch"

  group "analyser" {
    task "analyser" {
      driver = "harn"

      config {
        command = "/bin/bash"
        args = ["-c", <<-EOT
          grep -r --include='*.txt' '' . > /tmp/lines
          echo "lines of text: $(wc -l < /tmp/lines)"
          { echo more >> local/a.txt; } 2>/dev/null || echo "it cannot be changed"
        EOT
        ]

        capability_policy {
          side_effect_level = "read_only"
          workspace_roots   = ["local"]

          capabilities {
            workspace = ["read_text", "list", "exists"]
          }
        }
      }

      # What there is to analyse. An artifact block would fetch a real tree.
      template {
        destination = "local/a.txt"
        data        = "one\ntwo\n"
      }

      template {
        destination = "local/b.txt"
        data        = "three\n"
      }

      resources {
        cpu    = 100
        memory = 64
      }
    }
  }
}
