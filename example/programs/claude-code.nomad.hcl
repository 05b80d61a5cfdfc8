# Claude Code, without its questions: what it may do is the policy's matter.
# The model's server is at 127.0.0.1:8080 here: leave the variable with the
# address out, and give the vendor's port, 443.
job "claude-code" {
  type = "batch"

  group "claude-code" {
    task "claude-code" {
      driver = "harn"

      config {
        command = "/bin/bash"
        args = ["-ec", <<-EOT
          cd $NOMAD_TASK_DIR
          claude --print --dangerously-skip-permissions 'do it' < /dev/null
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
        ANTHROPIC_BASE_URL                       = "http://127.0.0.1:8080"
        ANTHROPIC_API_KEY                        = "key"
        CLAUDE_CODE_MAX_RETRIES                  = "1"
        DISABLE_AUTOUPDATER                      = "1"
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC = "1"
      }

      resources {
        cpu    = 500
        memory = 1024
      }
    }
  }
}
