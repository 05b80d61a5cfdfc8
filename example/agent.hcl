# A Nomad agent for trying the driver on one machine:
#
#   nomad agent -dev -config=example/agent.hcl -plugin-dir=$PWD/bin
#
# For a cluster, put the plugin block into the clients' configuration, and the
# binary into their plugin_dir.

# The label is the name of the binary's file in plugin_dir.
plugin "nomad-driver-harn" {
  config {
    # Where the records of running tasks are. Must survive restarts of the agent.
    state_dir = "/var/lib/nomad-driver-harn"

    # What becomes of tasks on a node without Landlock: "enforce" refuses them,
    # "warn" runs them under seccomp alone, "off" runs them unconfined.
    fallback = "enforce"

    # Tell tasks' users what was denied: "auto" where auditing is enabled on the
    # host, "off", or "enable", which switches auditing on.
    denial_events = "auto"

    # Who collects the tasks' logs: "nomad", by a process for each task, or
    # "driver", by the task's supervisor. Then the limits are here: Nomad tells
    # drivers nothing of a job's logs block but whether they are disabled.
    logs {
      collector = "nomad"
    }

    # Numbers for Prometheus, at a loopback port or a socket (unix:/PATH). Absent,
    # nothing listens.
    # metrics {
    #   address = "127.0.0.1:9746"
    # }

    # Tasks of user 0 are refused.
    allow_root = false

    # Users that no task may run as: names, UIDs, ranges of UIDs.
    denied_users = ["1-999"]

    # Capabilities that tasks may add with cap_add.
    allow_caps = []

    # Tasks with a network must name the hosts that they connect to.
    egress_required = false

    # pid_mode = "host" and ipc_mode = "host" are refused.
    allow_host_pid = false
    allow_host_ipc = false

    # Processes and threads of a task, and the most that a job may ask for.
    pids_limit = 4096

    # What policies may name as devices: paths, with wildcards.
    devices = ["/dev/kvm"]

    # Hidden from every task, even where a root shows them.
    masked_paths = ["/etc/machine-id"]

    # Sets of roots and variables that policies can name, and the node advertises.
    preset "locale" {
      read_only_roots = ["/usr/share/i18n"]
      env { LC_ALL = "C.UTF-8" }
    }

    # The presets of tasks whose policy says nothing of presets.
    default_presets = []

    # What every task may read and execute.
    system_read_roots = ["/bin", "/lib", "/lib64", "/usr", "/etc", "/nix/store", "/System"]

    # The policy of tasks whose job has none.
    default_policy {
      sandbox_profile = "worktree"
    }

    # What jobs may ask for at most: the same fields as a capability_policy. An
    # absent field puts no limit on it, an empty list admits nothing: with
    # workspace_roots = [] and read_only_roots = [], tasks have their own
    # directories and no volume.
    ceiling {
      sandbox_profile = "worktree"
    }
  }
}
