# Codex, without its own sandbox, which makes mounts: the driver confines it.
# The model's server is at 127.0.0.1:8080 here: leave the configuration file out,
# and give the vendor's port, 443.
job "codex" {
  type = "batch"

  group "codex" {
    task "codex" {
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

          codex exec --skip-git-repo-check --sandbox danger-full-access 'do it' < /dev/null
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
