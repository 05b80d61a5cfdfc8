# Codex with its own sandbox.
job "codex-sandbox" {
  type = "batch"

  group "codex-sandbox" {
    task "codex-sandbox" {
      driver = "harn"

      config {
        command = "/bin/bash"
        args = ["-ec", <<-EOT
          cd $NOMAD_TASK_DIR
          mkdir .codex
          cat > .codex/config.toml <<'CONFIG'
          model          = "fake-1"
          model_provider = "fake"
          [model_providers.fake]
          name     = "fake"
          base_url = "http://127.0.0.1:8080/v1"
          wire_api = "responses"
          stream_max_retries = 0
          request_max_retries = 0
          env_key  = "OPENAI_API_KEY"
          CONFIG
          export CODEX_HOME=$PWD/.codex

          codex exec --skip-git-repo-check --sandbox workspace-write 'do it' < /dev/null
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
        OPENAI_API_KEY = "key"
      }

      resources {
        cpu    = 500
        memory = 1024
      }
    }
  }
}
