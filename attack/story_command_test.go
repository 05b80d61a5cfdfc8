// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package attack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/creack/pty"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"golang.org/x/sys/unix"
)

// commandLineVariable makes this test binary the command line.
const commandLineVariable = "HARN_ATTACK_COMMAND_LINE"

// commandLine is the plugin's command line with arguments, in the scene's
// directory.
func (s *scene) commandLine(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(s.ctx, "/proc/self/exe", args...)
	cmd.Dir = s.dir
	cmd.Env = []string{commandLineVariable + "=1", "PATH=/usr/bin:/bin", "TERM=xterm", "HOME=/"}
	return cmd
}

// commandLineStories are what an operator, or a job's author, does at a
// terminal with what comes from a task.
func commandLineStories() (stories []story) {
	for i, name := range []string{"stdin", "stdout", "stderr"} {
		stories = append(stories, story{
			name: "operator_run_terminal_" + name, about: "A command of \"run\", which has the user's terminal as " + name + " alone, changes the terminal's settings for good.", once: true,
			play: func(s *scene) {
				user, terminal, err := pty.Open()
				s.check(err)
				defer user.Close()
				defer terminal.Close()
				s.check(terminal.Chmod(0o666))
				go func() { _, _ = bytes.NewBuffer(nil).ReadFrom(user) }()
				settings := func() unix.Termios {
					value, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
					s.check(err)
					return *value
				}
				hostile := []string{"/bin/sh", "-c", "for fd in 0 1 2; do stty -echo -icanon -isig < /proc/self/fd/$fd; done 2> /dev/null; stty -echo -icanon -isig < /dev/tty; :"}
				do := func(cmd *exec.Cmd) {
					files := []*os.File{nil, nil, nil}
					files[i] = terminal
					var other bytes.Buffer
					cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(""), &other, &other
					switch i {
					case 0:
						cmd.Stdin = terminal
					case 1:
						cmd.Stdout = terminal
					case 2:
						cmd.Stderr = terminal
					}
					cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: i}
					if err := cmd.Start(); err != nil {
						s.t.Fatal(err)
					}
					ended := make(chan struct{})
					go func() {
						_ = cmd.Wait()
						close(ended)
					}()
					select {
					case <-ended:
					case <-time.After(10 * time.Second):
						s.fault("it does not end")
						_ = cmd.Process.Kill()
					}
				}
				before := settings()
				direct := exec.Command(hostile[0], hostile[1:]...)
				do(direct)
				if settings() == before {
					s.unproved = "the settings are as they were"
				}
				s.check(unix.IoctlSetTermios(int(terminal.Fd()), unix.TCSETS, &before))
				do(s.commandLine(append([]string{"run", "-quiet", "-side_effect_level", "process_exec", "--"}, hostile...)...))
				if settings() != before {
					s.escape("the user's terminal has lost its echo")
				}
				s.held("as it was")
			},
		})
	}
	add := func(name, about string, play func(s *scene)) {
		stories = append(stories, story{name: "operator_" + name, about: about, once: true, play: play})
	}
	run := func(s *scene, args ...string) (stdout, stderr string) {
		var out, errs bytes.Buffer
		cmd := s.commandLine(args...)
		cmd.Stdout, cmd.Stderr = &out, &errs
		_ = cmd.Run()
		for what, text := range map[string]string{"stdout": out.String(), "stderr": errs.String()} {
			for line := range strings.Lines(strings.ReplaceAll(text, "\t", " ")) {
				s.printable(what, strings.TrimSuffix(line, "\n"))
			}
		}
		s.held("readable")
		return out.String(), errs.String()
	}
	const hostile = "x\x1b[31mRED\x07\u009b\u202e"
	add("run_control_characters", "Names with escape sequences reach the terminal of who uses \"run\".", func(s *scene) {
		run(s, "run", "-side_effect_level", "process_exec", "--", "/bin/"+hostile)
		run(s, "run", "-side_effect_level", "process_exec", "--", hostile)
		run(s, "run", "-workspace_roots", "/srv/"+hostile, "--", "/bin/true")
		run(s, "run", "-user", hostile, "-side_effect_level", "none", "--", "/bin/true")
		s.check(os.WriteFile(s.path("p.json"), []byte(`{"sandbox_profile":"a\u001b[31m","workspace_roots":["/x\u001b\nFAKE"],"k\u001b":1}`), 0o644))
		run(s, "run", "-policy", "p.json", "--", "/bin/true")
		run(s, "run", "-policy", hostile, "--", "/bin/true")
		s.link("/srv/"+hostile+"\nFAKE", s.path("link"))
		run(s, "run", "-read_only_roots", s.path("link"), "--", "/bin/true")
	})
	add("explain_control_characters", "A job whose names hold escape sequences reaches the terminal of who uses \"explain\".", func(s *scene) {
		job := fmt.Sprintf(`job "j" {
  group "g" {
    task "t\u001b[31m" {
      driver = "harn"
      user = "u\u001b[31m"
      config {
        command = "/bin/x\u001b[31m\nFAKE"
        args = ["\u001b]0;x\u0007"]
        capability_policy {
          workspace_roots = ["local", "/srv/\u001b[31m\nFAKE = admitted\u202e"]
          read_only_roots = ["%s/d\u001b[32m"]
          capabilities {
            workspace = ["read_text"]
            other = ["\u001b[31m"]
          }
        }
      }
    }
  }
}
`, s.dir)
		s.mkdir("d\x1b[32m")
		s.check(os.WriteFile(s.path("j.hcl"), []byte(job), 0o644))
		run(s, "explain", "-job", "j.hcl")
		run(s, "explain", "-job", "j.hcl", "-json")
		run(s, "explain", "-read_only_roots", s.path("d\x1b[32m"))
	})
	// Denials as a task can have them: names are its own.
	denial := func(path, right, command string) string {
		data, _ := json.Marshal(map[string]any{
			"time": time.Unix(1700000000, 0), "kind": "fs", "rights": []string{right}, "path": path, "comm": command, "pid": 7, "count": 1,
			"task": "t", "task_dir": "/var/lib/nomad/t",
		})
		return string(data) + "\n"
	}
	suggested := func(s *scene, lines string, log string) string {
		s.check(os.WriteFile(s.path("denials.ndjson"), []byte(lines), 0o644))
		args := []string{"suggest"}
		if log != "" {
			s.check(os.WriteFile(s.path("log"), []byte(log), 0o644))
			args = append(args, "-log", "log")
		}
		out, errs := run(s, append(args, "denials.ndjson")...)
		s.onlyRoots(out)
		if strings.Contains(errs, "panic") {
			s.escape("it panics")
		}
		return out
	}
	add("suggest_names", "Denied paths hold quotes, line breaks, escape sequences and template markers.", func(s *scene) {
		for _, path := range []string{
			"/srv/a\x01b", "/srv/" + hostile, "/srv/a\"]\n  sandbox_profile = \"unrestricted\"\n#", "/srv/a\nsandbox_profile = \"unrestricted\"", "/srv/${evil}", "/srv/%{if evil}",
			"/srv/a\\", "/srv/\u2028evil = 1", "/srv/a*/evil = 1/*", "//", "/.", "/srv/..", "/srv/../etc",
		} {
			suggested(s, denial(path, "fs.read_file", "cat")+denial("/srv/harmless/file", "fs.read_file", "cat"), "")
		}
	})
	add("suggest_rights", "Denials name rights and commands that hold line breaks and HCL.", func(s *scene) {
		for _, text := range []string{"fs.read_file\n  sandbox_profile = \"unrestricted\"", "\x1b[31m", "x\"\n  devices = [\"/dev/mem\"]", "cat\r  evil = 1", "x\u2028evil = 1", "*/ evil = 1 /*"} {
			suggested(s, denial("/srv/a", text, "cat"), "")
			suggested(s, denial("/srv/a", "fs.read_file", text), "")
		}
	})
	add("suggest_cancels", "One hostile denial keeps the others from being suggested.", func(s *scene) {
		good := denial("/srv/good/file", "fs.read_file", "cat")
		for _, path := range []string{"//", "/.", "/", "", "/srv/a\x00b", "relative", strings.Repeat("/x", 4000)} {
			if out := suggested(s, denial(path, "fs.read_file", "cat")+good, ""); !strings.Contains(out, "/srv/good/file") {
				s.escape("with %.20q beside it, /srv/good/file is not suggested: %q", path, out)
			}
		}
	})
	add("suggest_protected", "Denials ask for what no task should have: keys, secrets, the state of driver and agent, sockets of engines.", func(s *scene) {
		for _, path := range []string{
			"/etc/shadow", "/etc/ssl/private/key", "/etc/nomad.d/agent.hcl", "/root/.ssh/id_ed25519", "/root/.ssh", "/home/a/.ssh/id_rsa", "/home/a/.aws/credentials", "/root/.kube/config",
			"/home/a/.docker/config.json", "/root/.netrc", "/home/a/.gnupg/secring.gpg", "/var/lib/nomad-driver-harn/x/confinement", "/run/docker.sock", "/run/containerd/containerd.sock", "/sys/fs/cgroup/memory",
			"/etc//shadow", "/etc/./shadow", "/root/../etc/shadow", "/root/x/../.ssh/id_rsa",
		} {
			out := suggested(s, denial(path, "fs.read_file", "cat")+denial(path, "fs.write_file", "cat"), "")
			if strings.Contains(out, "_roots") {
				s.escape("%s is suggested", path)
			}
		}
	})
	add("suggest_log", "A task's log claims that it has not found what it is not to have.", func(s *scene) {
		s.mkdir("srv")
		s.put(s.path("srv/x\x1b[31m"))
		for _, path := range []string{"/etc/shadow", "/etc/nomad.d/secret", s.path("srv/x\x1b[31m"), "/etc/ssl/private/secret", "/run/docker.sock", s.victim.seen + "/secrets/secret"} {
			out := suggested(s, "", "cat: "+path+": No such file or directory\ncat: "+path+"\r: No such file or directory\n[Errno 2] No such file or directory: '"+path+"'\n")
			if strings.Contains(out, "_roots") && !strings.Contains(path, "srv/x") {
				s.escape("%s is suggested", path)
			}
		}
	})
	return stories
}

// onlyRoots: what "suggest" prints for denied files is a policy with roots, in
// HCL that means what it says.
func (s *scene) onlyRoots(text string) {
	file, problems := hclparse.NewParser().ParseHCL([]byte(text), "suggested")
	if problems.HasErrors() {
		s.escape("what it prints is no HCL: %v: %q", problems, text)
		return
	}
	var check func(body *hclsyntax.Body)
	check = func(body *hclsyntax.Body) {
		for name, attribute := range body.Attributes {
			if !strings.HasSuffix(name, "_roots") && name != "side_effect_level" {
				s.escape("it proposes %s", name)
			}
			if _, problems := attribute.Expr.Value(nil); problems.HasErrors() {
				s.escape("%s is no plain value: %v", name, problems)
			}
		}
		for _, block := range body.Blocks {
			if block.Type != "capability_policy" {
				s.escape("it proposes a block %q", block.Type)
			}
			check(block.Body)
		}
	}
	check(file.Body.(*hclsyntax.Body))
}
