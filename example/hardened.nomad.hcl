# The strictest profile: never without Landlock. The constraint places the job
# on nodes whose Landlock also handles TCP (ABI 4, Linux 6.7 and newer).
job "hardened" {
  type = "batch"

  constraint {
    attribute = "${attr.driver.harn.landlock.abi}"
    operator  = ">="
    value     = "4"
  }

  group "hardened" {
    task "hardened" {
      driver = "harn"

      config {
        command = "/bin/bash"
        args = ["-c", <<-EOT
          echo "profile os_hardened"
          grep -e CapBnd -e NoNewPrivs -e Seccomp: /proc/self/status
        EOT
        ]

        capability_policy {
          sandbox_profile   = "os_hardened"
          side_effect_level = "process_exec"
          workspace_roots   = ["local"]
        }
      }

      resources {
        cpu    = 100
        memory = 64
      }
    }
  }
}
