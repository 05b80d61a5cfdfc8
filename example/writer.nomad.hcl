# A workspace writer: it writes to the directory that the tasks of its group
# share, and nowhere else.
job "writer" {
  type = "batch"

  group "writer" {
    task "writer" {
      driver = "harn"

      config {
        command = "/bin/bash"
        args = ["-c", <<-EOT
          date -u > report && echo "wrote $(cat report)"
          { echo x > "$NOMAD_TASK_DIR/report"; } 2>/dev/null || echo "nothing else can be written"
        EOT
        ]

        capability_policy {
          side_effect_level = "workspace_write"

          # Relative to the task directory. The first one is where it starts.
          workspace_roots = ["alloc/data"]
        }
      }

      resources {
        cpu    = 100
        memory = 64
      }
    }
  }
}
