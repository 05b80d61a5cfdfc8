# A user namespace alone, without mounts.
job "user-namespace" {
  type = "batch"

  group "user-namespace" {
    task "user-namespace" {
      driver = "harn"

      config {
        command = "/bin/bash"
        args = ["-ec", <<-EOT
          unshare --user --map-root-user sh -c 'echo "in a user namespace: $(id -u)"'
        EOT
        ]

        capability_policy {
          side_effect_level = "process_exec"
          workspace_roots   = ["local"]
        }
      }

      resources {
        cpu    = 500
        memory = 128
      }
    }
  }
}
