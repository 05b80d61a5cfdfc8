# cargo without network builds, tests and runs a crate without dependencies.
job "cargo" {
  type = "batch"

  group "cargo" {
    task "cargo" {
      driver = "harn"

      config {
        command = "/bin/bash"
        args = ["-ec", <<-EOT
          cd $NOMAD_TASK_DIR
          export CARGO_HOME=$PWD/.cargo
          cargo init --quiet --vcs none --name answer
          echo 'fn main() { println!("built by cargo"); } #[test] fn sum() { assert_eq!(40 + 2, 42); }' > src/main.rs
          cargo test --quiet --offline
          cargo run --quiet --offline
        EOT
        ]

        capability_policy {
          side_effect_level = "process_exec"
          workspace_roots   = ["local"]
        }
      }

      resources {
        cpu    = 500
        memory = 1024
      }
    }
  }
}
