# A Harn script, confined as a whole: Harn's own sandbox confines only the
# processes that its scripts start. Needs harn in the PATH of tasks, in one of
# /usr/local/bin, /usr/bin and /bin.
job "harn" {
  type = "batch"

  group "harn" {
    task "harn" {
      driver = "harn"

      config {
        command = "harn"
        args    = ["run", "local/hello.harn"]

        capability_policy {
          side_effect_level = "process_exec"
          workspace_roots   = ["local"]
        }
      }

      env {
        # Its caches and state stay in the workspace.
        HARN_CACHE_DIR = "${NOMAD_TASK_DIR}/.cache"
      }

      template {
        destination = "local/hello.harn"
        data        = <<-EOT
          pipeline default(task) {
            log("hello from harn")
          }
        EOT
      }

      # On SIGTERM, harn takes two seconds to write its state.
      kill_timeout = "10s"

      resources {
        cpu    = 200
        memory = 256
      }
    }
  }
}
