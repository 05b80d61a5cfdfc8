# Gemini CLI, without its questions (--yolo) and without its own sandbox.
# The model's server is at 127.0.0.1:8080 here: leave the variable with the
# address out, and give the vendor's port, 443.
job "gemini-cli" {
  type = "batch"

  group "gemini-cli" {
    task "gemini-cli" {
      driver = "harn"

      config {
        command = "/bin/bash"
        args = ["-ec", <<-EOT
          cd $NOMAD_TASK_DIR
          mkdir -p .gemini
          echo '{"security": {"auth": {"selectedType": "gemini-api-key"}}}' > .gemini/settings.json
          export HOME=$PWD
          gemini --skip-trust --yolo --prompt 'do it' < /dev/null
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
        GOOGLE_GEMINI_BASE_URL = "http://127.0.0.1:8080"
        GEMINI_API_KEY         = "key"
      }

      resources {
        cpu    = 500
        memory = 1024
      }
    }
  }
}
