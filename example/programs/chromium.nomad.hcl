# Chromium, headless, without its own sandbox, which makes namespaces and changes
# its root: the driver confines it.
job "chromium" {
  type = "batch"

  group "chromium" {
    task "chromium" {
      driver = "harn"

      config {
        command = "/bin/bash"
        args = ["-ec", <<-EOT
          cd $NOMAD_TASK_DIR
          chromium --headless --no-sandbox --disable-gpu --user-data-dir=$PWD/profile \
            --dump-dom 'data:text/html,<p id=sum></p><script>sum.textContent = 40 + 2</script>'
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
        memory = 1024
      }
    }
  }
}
