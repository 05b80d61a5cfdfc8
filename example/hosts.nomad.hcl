# A task that may connect to one host by its name, and to nothing else. curl knows
# nothing of that: there is no proxy.
#
#   nomad job run example/hosts.nomad.hcl
#   nomad alloc logs -job hosts
#   nomad alloc status ALLOCATION    # says what was denied

job "hosts" {
  type = "batch"

  group "hosts" {
    task "hosts" {
      driver = "harn"

      constraint {
        attribute = "${attr.driver.harn.egress}"
        value     = "true"
      }

      config {
        command = "/bin/bash"
        args = ["-c", <<-SCRIPT
          try() { curl -sS --max-time 20 -o /dev/null "$1" 2>&1 && echo "$1: reached"; }
          try https://registry.npmjs.org/
          try https://pypi.org/
          try https://1.1.1.1/
          true
        SCRIPT
        ]

        capability_policy {
          sandbox_profile   = "os_hardened"
          side_effect_level = "network"
          egress {
            allow = ["registry.npmjs.org:443"] # or *.npmjs.org:443, 10.1.0.0/16:9000
          }
        }
      }
    }
  }
}
