# Chromium with its own sandbox.
job "chromium-sandbox" {
  type = "batch"

  group "chromium-sandbox" {
    task "chromium-sandbox" {
      driver = "harn"

      config {
        command = "/bin/bash"
        args = ["-ec", <<-EOT
          cd $NOMAD_TASK_DIR
          chromium --headless --disable-gpu --user-data-dir=$PWD/profile \
            --dump-dom 'data:text/html,<p id=sum></p><script>sum.textContent = 40 + 2</script>'
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
