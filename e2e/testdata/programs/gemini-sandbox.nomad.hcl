# Gemini CLI with its own sandbox: a container of podman.
job "gemini-sandbox" {
  type = "batch"

  group "gemini-sandbox" {
    task "gemini-sandbox" {
      driver = "harn"

      config {
        command = "/bin/bash"
        args = ["-ec", <<-EOT
          cd $NOMAD_TASK_DIR
          mkdir -p .gemini
          echo '{"security": {"auth": {"selectedType": "gemini-api-key"}}}' > .gemini/settings.json
          export HOME=$PWD
          gemini --skip-trust --yolo --sandbox --prompt 'do it' < /dev/null
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
        GEMINI_SANDBOX         = "podman"
      }

      resources {
        cpu    = 500
        memory = 1024
      }
    }
  }
}
