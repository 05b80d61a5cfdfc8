# nginx on a port, with a configuration of its own, and curl.
job "nginx" {
  type = "batch"

  group "nginx" {
    task "nginx" {
      driver = "harn"

      config {
        command = "/bin/bash"
        args = ["-ec", <<-EOT
          cd $NOMAD_TASK_DIR
          echo 'served by nginx' > index.html
          cat > nginx.conf <<'CONFIG'
          pid   /tmp/nginx.pid;
          error_log stderr;
          events {}
          http {
            access_log off;
            client_body_temp_path /tmp/body;
            proxy_temp_path       /tmp/proxy;
            fastcgi_temp_path     /tmp/fastcgi;
            uwsgi_temp_path       /tmp/uwsgi;
            scgi_temp_path        /tmp/scgi;
            server {
              listen 127.0.0.1:8081;
              root   .;
            }
          }
          CONFIG
          /usr/sbin/nginx -e stderr -p $PWD -c nginx.conf
          curl --silent --show-error --retry 5 --retry-connrefused http://127.0.0.1:8081/
          /usr/sbin/nginx -e stderr -p $PWD -c nginx.conf -s quit
        EOT
        ]

        capability_policy {
          side_effect_level = "network"
          workspace_roots   = ["local"]
          tcp_connect       = [8081]
          tcp_bind          = [8081]
        }
      }

      resources {
        cpu    = 500
        memory = 128
      }
    }
  }
}
