# A workspace writer: it writes to local/, and not to the directory that the tasks
# of its group share. Nomad shows the result: nomad alloc fs ALLOC writer/local/report
job "writer" {
  type = "batch"

  group "writer" {
    task "writer" {
      driver = "harn"

      config {
        command = "/bin/bash"
        args = ["-c", <<-EOT
          date -u > local/report && echo "wrote $(cat local/report)"
          { echo x > "$NOMAD_ALLOC_DIR/data/report"; } 2>/dev/null || echo "nothing else can be written"
        EOT
        ]

        capability_policy {
          side_effect_level = "workspace_write"

          # Relative to the task directory, which is where it starts. What it makes there
          # beside these is scratch of its own, and gone with the task.
          workspace_roots = ["local"]
        }
      }

      resources {
        cpu    = 100
        memory = 64
      }
    }
  }
}
