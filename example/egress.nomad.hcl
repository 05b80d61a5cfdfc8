# A task that may open TCP connections to port 443 and to nothing else: no other
# port, no UDP, nothing to listen on.
#
#   nomad job run example/egress.nomad.hcl
#   nomad alloc logs -job egress

job "egress" {
  type = "batch"

  group "egress" {
    task "egress" {
      driver = "harn"

      # Ports are limited by Landlock from ABI 4 on; the driver refuses the task
      # on a node with less, so it had better not be placed there.
      constraint {
        attribute = "${attr.driver.harn.landlock.abi}"
        operator  = ">="
        value     = "4"
      }

      config {
        command = "/usr/bin/python3"
        args = ["-c", <<-SCRIPT
          import errno, socket

          def attempt(what, f):
              try:
                  f()
                  print(what, "admitted")
              except OSError as e:
                  print(what, errno.errorcode.get(e.errno, e))

          # Nobody listens on this port of the node itself: what answers is the
          # kernel, so the connection was admitted.
          attempt("port 443:", lambda: socket.create_connection(("127.0.0.1", 443)))
          attempt("port 22:", lambda: socket.create_connection(("127.0.0.1", 22)))
          attempt("UDP:", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
          attempt("listening:", lambda: socket.socket().listen())
        SCRIPT
        ]

        capability_policy {
          side_effect_level = "network"
          tcp_connect       = [443]
        }
      }
    }
  }
}
