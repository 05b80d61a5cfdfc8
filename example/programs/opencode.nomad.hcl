# OpenCode. It serves its own client by TCP, on a port that the kernel chooses.
# The model's server is at 127.0.0.1:8080 here: leave the configuration file out,
# and give the vendor's port, 443.
job "opencode" {
  type = "batch"

  group "opencode" {
    task "opencode" {
      driver = "harn"

      config {
        command = "/bin/bash"
        args = ["-ec", <<-EOT
          cd $NOMAD_TASK_DIR
          cat > opencode.json <<'CONFIG'
          {
            "model": "fake/fake-1",
            "small_model": "fake/fake-1",
            "permission": {"bash": "allow", "edit": "allow"},
            "provider": {
              "fake": {
                "npm": "@ai-sdk/openai-compatible",
                "options": {"baseURL": "http://127.0.0.1:8080/v1", "apiKey": "key"},
                "models": {"fake-1": {"name": "fake-1", "tool_call": true}}
              }
            }
          }
          CONFIG
          opencode run 'do it' < /dev/null
          echo "$(cat command.txt), $(cat edited.md)"
        EOT
        ]

        capability_policy {
          side_effect_level = "network"
          workspace_roots   = ["local"]
          tcp_connect       = [8080]
        }
      }

      env {
        OPENCODE_DISABLE_AUTOUPDATE = "1"
      }

      resources {
        cpu    = 500
        memory = 1536
      }
    }
  }
}
