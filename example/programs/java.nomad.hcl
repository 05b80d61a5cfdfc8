# javac, and java with a file channel, a selector and a child process.
job "java" {
  type = "batch"

  group "java" {
    task "java" {
      driver = "harn"

      config {
        command = "/bin/bash"
        args = ["-ec", <<-EOT
          cd $NOMAD_TASK_DIR
          cat > Main.java <<'SOURCE'
          import java.nio.channels.*;
          import java.nio.file.*;
          public class Main {
            public static void main(String[] a) throws Exception {
              try (var file = FileChannel.open(Path.of("Main.java"))) { System.out.println("a channel of some bytes: " + (file.size() > 0)); }
              try (var selector = Selector.open()) { System.out.println("a selector: " + selector.isOpen()); }
              var child = new ProcessBuilder("echo", "a child process").start();
              System.out.print(new String(child.getInputStream().readAllBytes()));
            }
          }
          SOURCE
          javac Main.java
          java Main
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
