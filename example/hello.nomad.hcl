# A task that uses its workspace, and tries three things that its policy does
# not grant. Its output says how each of them went.
job "hello" {
  type = "batch"

  group "hello" {
    task "hello" {
      driver = "harn"

      config {
        command = "local/hello.sh"

        capability_policy {
          side_effect_level = "process_exec" # below "network"
          workspace_roots   = ["local"]

          capabilities {
            workspace = ["read_text", "list", "exists", "write_text"]
            process   = ["exec"]
          }
        }
      }

      template {
        destination = "local/hello.sh"
        perms       = "755"
        data        = <<-EOT
          #!/bin/bash
          # try NAME COMMAND...: says whether the command worked
          try() {
            local name=$1 error
            shift
            if error=$("$@" 2>&1 >/dev/null); then
              echo "$name: allowed"
            else
              echo "$name: denied ($error)"
            fi
          }

          try "write to the workspace" bash -c 'echo "hello from $NOMAD_TASK_NAME" > local/greeting'
          try "read the workspace"     cat local/greeting
          try "list /root"             ls /root
          try "write to /etc"          bash -c 'echo x > /etc/hello'
          try "open a socket"          bash -c 'echo x > /dev/tcp/127.0.0.1/80'
          cat local/greeting
        EOT
      }

      resources {
        cpu    = 100
        memory = 64
      }
    }
  }
}
