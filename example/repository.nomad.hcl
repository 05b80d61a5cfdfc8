# An agent in a repository: it changes the sources and runs their tests, which
# talk to a server of their own. It cannot read what is denied, and leaves hooks
# and configurations alone that other people's tools would execute.
job "repository" {
  type = "batch"

  group "repository" {
    task "agent" {
      driver = "harn"

      config {
        command = "/bin/bash"
        args = ["-c", <<-EOT
          cd local/repo
          echo 'print("changed")' > src/main.py && echo "sources can be changed"
          cat .env 2>/dev/null || echo "the key cannot be read"
          { echo evil > .git/hooks/pre-commit; } 2>/dev/null || echo "hooks stay as they are"
          { echo evil > .mcp.json; } 2>/dev/null || echo "no configuration can be planted"
          { : < /dev/tcp/127.0.0.1/9; } 2>&1 | grep -o "Connection refused"
        EOT
        ]

        capability_policy {
          side_effect_level = "process_exec"
          workspace_roots   = ["local/repo"]
          read_deny_roots   = ["local/repo/.env"]
          protect           = [".git/hooks", ".mcp.json"]

          process_sandbox {
            allow_tcp_loopback = true
          }
        }
      }

      # What there is to work on. An artifact block would fetch a real repository.
      template {
        destination = "local/repo/src/main.py"
        data        = "print(\"hello\")\n"
        perms       = "666"
      }

      template {
        destination = "local/repo/.env"
        data        = "KEY=secret\n"
      }

      template {
        destination = "local/repo/.git/hooks/pre-commit"
        data        = "#!/bin/sh\n"
      }

      resources {
        cpu    = 100
        memory = 64
      }
    }
  }
}
