# Maven without network: it compiles with the plugins that Debian has installed.
job "maven" {
  type = "batch"

  group "maven" {
    task "maven" {
      driver = "harn"

      config {
        command = "/bin/bash"
        args = ["-ec", <<-EOT
          cd $NOMAD_TASK_DIR
          mkdir -p src/main/java
          echo 'public class Main { public static void main(String[] a) { System.out.println("built by maven"); } }' > src/main/java/Main.java
          cat > pom.xml <<'POM'
          <project>
            <modelVersion>4.0.0</modelVersion>
            <groupId>example</groupId>
            <artifactId>main</artifactId>
            <version>1</version>
            <properties>
              <maven.compiler.source>11</maven.compiler.source>
              <maven.compiler.target>11</maven.compiler.target>
              <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>
            </properties>
          </project>
          POM
          cp -rs /usr/share/maven-repo repository
          mvn --batch-mode --offline -Dmaven.repo.local=$PWD/repository compile
          java -cp target/classes Main
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
