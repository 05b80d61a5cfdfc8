# git with LFS, whose objects go to a repository in the workspace.
job "git-lfs" {
  type = "batch"

  group "git-lfs" {
    task "git-lfs" {
      driver = "harn"

      config {
        command = "/bin/bash"
        args = ["-ec", <<-EOT
          cd $NOMAD_TASK_DIR
          export HOME=$PWD
          git config --global user.name n
          git config --global user.email e
          git lfs install --skip-repo
          git init --quiet --bare remote.git
          git clone --quiet remote.git clone 2> /dev/null
          cd clone
          git lfs track '*.bin'
          head -c 100000 /dev/urandom > large.bin
          git add .
          git commit --quiet --message=large
          git push --quiet origin HEAD:main
          git lfs ls-files
          cd ..
          git clone --quiet --branch main remote.git copy
          cmp clone/large.bin copy/large.bin && echo 'both are the same'
        EOT
        ]

        capability_policy {
          side_effect_level = "process_exec"
          workspace_roots   = ["local"]
        }
      }

      resources {
        cpu    = 500
        memory = 256
      }
    }
  }
}
