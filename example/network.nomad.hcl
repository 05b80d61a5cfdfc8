# A network client: only its side_effect_level lets it open sockets. The server
# that it talks to is another task of the group. Needs python3 and curl.
job "network" {
  type = "batch"

  group "network" {
    network {
      port "http" {}
    }

    task "client" {
      driver = "harn"

      config {
        command = "/bin/bash"
        args = ["-c", <<-EOT
          echo "the server says: $(curl -sS --retry 30 --retry-delay 1 --retry-connrefused http://$NOMAD_ADDR_http/greeting)"
        EOT
        ]

        capability_policy {
          side_effect_level = "network"

          capabilities {
            workspace = ["read_text", "list", "exists"]
          }
        }
      }

      resources {
        cpu    = 100
        memory = 64
      }
    }

    task "server" {
      driver = "harn"

      lifecycle {
        hook    = "prestart"
        sidecar = true
      }

      config {
        command  = "/usr/bin/python3"
        args     = ["-m", "http.server", "--bind", "${NOMAD_IP_http}", "${NOMAD_PORT_http}"]
        work_dir = "local"

        capability_policy {
          side_effect_level = "network"

          capabilities {
            workspace = ["read_text", "list", "exists"]
          }
        }
      }

      template {
        destination = "local/greeting"
        data        = "hello from the server\n"
      }

      resources {
        cpu    = 100
        memory = 128
      }
    }
  }
}
