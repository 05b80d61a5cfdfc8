# sshd as an ordinary user, which admits this user alone; ssh, and git over ssh.
job "sshd" {
  type = "batch"

  group "sshd" {
    task "sshd" {
      driver = "harn"

      config {
        command = "/bin/bash"
        args = ["-ec", <<-EOT
          cd $NOMAD_TASK_DIR
          ssh-keygen -q -t ed25519 -N '' -f host
          ssh-keygen -q -t ed25519 -N '' -f user
          cp user.pub authorized_keys
          cat > sshd_config <<CONFIG
          ListenAddress 127.0.0.1:2222
          HostKey $PWD/host
          AuthorizedKeysFile $PWD/authorized_keys
          PidFile none
          StrictModes no
          UsePAM no
          CONFIG
          cat > ssh_config <<CONFIG
          Host *
            Port 2222
            IdentityFile $PWD/user
            UserKnownHostsFile $PWD/known_hosts
            StrictHostKeyChecking accept-new
          CONFIG
          /usr/sbin/sshd -f $PWD/sshd_config -E $PWD/log
          for try in $(seq 100); do grep -q listening log && break; sleep 0.1; done

          ssh -F ssh_config 127.0.0.1 'echo "over ssh: $(id -u)"' || { cat log; exit 1; }
          git init --quiet --bare repo.git
          git clone --quiet -c core.sshCommand="ssh -F $PWD/ssh_config" 127.0.0.1:$PWD/repo.git clone
          cd clone
          git -c user.name=n -c user.email=e commit --quiet --allow-empty --message='over ssh'
          git push --quiet origin HEAD:main
          git -C ../repo.git log --format='git says %s' main
        EOT
        ]

        capability_policy {
          side_effect_level = "network"
          workspace_roots   = ["local"]
          tcp_connect       = [2222]
          tcp_bind          = [2222]
        }
      }

      resources {
        cpu    = 500
        memory = 256
      }
    }
  }
}
