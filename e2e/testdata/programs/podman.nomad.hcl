# podman without root, on a root file system of its own.
job "podman" {
  type = "batch"

  group "podman" {
    task "podman" {
      driver = "harn"

      config {
        command = "/bin/bash"
        args = ["-ec", <<-EOT
          cd $NOMAD_TASK_DIR
          export HOME=$PWD XDG_RUNTIME_DIR=$PWD/run
          mkdir -m 700 run
          mkdir -p root/bin root/usr root/proc root/sys root/dev root/tmp root/run root/etc
          cp /bin/busybox root/bin/sh
          podman --storage-driver=vfs --cgroup-manager=cgroupfs run --rm --network=none --rootfs $PWD/root /bin/sh -c 'echo inside of podman'
        EOT
        ]

        capability_policy {
          side_effect_level = "process_exec"
          workspace_roots   = ["local"]
        }
      }

      resources {
        cpu    = 500
        memory = 512
      }
    }
  }
}
