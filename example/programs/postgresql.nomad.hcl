# PostgreSQL on a UNIX socket, and psql.
job "postgresql" {
  type = "batch"

  group "postgresql" {
    task "postgresql" {
      driver = "harn"

      config {
        command = "/bin/bash"
        args = ["-ec", <<-EOT
          PATH=$PATH:/usr/lib/postgresql/15/bin
          cd $NOMAD_TASK_DIR
          initdb --pgdata=data --auth=trust > initdb.log || { cat initdb.log; exit 1; }
          pg_ctl --pgdata=data --wait --log=log --options="-c listen_addresses='' -k /tmp" start || { cat log; exit 1; }
          psql --host=/tmp --dbname=postgres --tuples-only --command="select 'the database says ' || sum(n) from generate_series(1, 100) n"
          pg_ctl --pgdata=data stop
        EOT
        ]

        capability_policy {
          side_effect_level = "network"
          workspace_roots   = ["local"]
          tcp_connect       = []
          tcp_bind          = [0]
        }
      }

      resources {
        cpu    = 500
        memory = 512
      }
    }
  }
}
