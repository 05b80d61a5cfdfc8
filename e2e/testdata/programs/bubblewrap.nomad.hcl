# bubblewrap, as other programs use it for a sandbox.
job "bubblewrap" {
  type = "batch"

  group "bubblewrap" {
    task "bubblewrap" {
      driver = "harn"

      config {
        command = "/bin/bash"
        args = ["-ec", <<-EOT
          bwrap --ro-bind / / --dev /dev --proc /proc --unshare-all echo 'inside of bubblewrap'
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
