# tmux: the server's UNIX socket is in /tmp, its terminal is the task's own.
job "tmux" {
  type = "batch"

  group "tmux" {
    task "tmux" {
      driver = "harn"

      config {
        command = "/bin/bash"
        args = ["-ec", <<-EOT
          cd $NOMAD_TASK_DIR
          tmux -f /dev/null new-session -d "echo inside of tmux, \$(tty) > out"
          for try in $(seq 100); do [ -s out ] && break; sleep 0.1; done
          cat out
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
        memory = 128
      }
    }
  }
}
