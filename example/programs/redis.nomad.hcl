# Redis on a UNIX socket, and redis-cli.
job "redis" {
  type = "batch"

  group "redis" {
    task "redis" {
      driver = "harn"

      config {
        command = "/bin/bash"
        args = ["-ec", <<-EOT
          cd $NOMAD_TASK_DIR
          redis-server --port 0 --unixsocket /tmp/redis.sock --dir $PWD --daemonize yes --logfile $PWD/log
          for try in $(seq 100); do [ -S /tmp/redis.sock ] && break; sleep 0.1; done
          redis-cli -s /tmp/redis.sock set answer 42
          echo "redis says $(redis-cli -s /tmp/redis.sock get answer)"
          redis-cli -s /tmp/redis.sock shutdown
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
        memory = 256
      }
    }
  }
}
