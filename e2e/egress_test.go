// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
	"github.com/burin-labs/nomad-driver-harn/internal/nettest"
	"github.com/burin-labs/nomad-driver-harn/programs/model"
)

// egressNames are names that the node, and nobody else, knows: its own services.
var egressNames = []string{"model.example.com", "git.example.com", "db.example.com", "pypi.example.org"}

// knowNames has the node know the names, as 127.0.0.1.
func knowNames(t *testing.T) {
	t.Helper()
	hosts, err := os.ReadFile("/etc/hosts")
	if err != nil {
		t.Fatal(err)
	}
	nettest.File(t, "/etc/hosts", string(hosts)+"\n127.0.0.1 "+strings.Join(egressNames, " ")+"\n")
}

// serve runs a service of the node until the end of the test.
func serve(t *testing.T, port int, command ...string) {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(unix.SIGTERM)
		_ = cmd.Wait()
	})
	for range 200 {
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			c.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%s does not listen:\n%s", command[0], out.String())
}

func command(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}

// gitServer serves a repository over ssh, and returns the port and a key to log in by.
func gitServer(t *testing.T, dir string) (port int, key string) {
	t.Helper()
	if _, err := exec.LookPath("/usr/sbin/sshd"); err != nil {
		t.Skip("no sshd")
	}
	port = nettest.FreePort(t)
	repository := filepath.Join(dir, "repository")
	command(t, dir, "git", "init", "-q", repository)
	if err := os.WriteFile(filepath.Join(repository, "greeting"), []byte("from the repository\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	command(t, repository, "git", "add", "greeting")
	command(t, repository, "git", "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qm", "t")
	for _, name := range []string{"host", "user"} {
		command(t, dir, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, name))
	}
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	serve(t, port, "/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", "-p", strconv.Itoa(port), "-h", filepath.Join(dir, "host"), "-o", "ListenAddress=127.0.0.1",
		"-o", "AuthorizedKeysFile="+filepath.Join(dir, "user.pub"), "-o", "StrictModes=no", "-o", "PermitRootLogin=yes", "-o", "UsePAM=no", "-o", "PidFile=none")
	text, err := os.ReadFile(filepath.Join(dir, "user"))
	if err != nil {
		t.Fatal(err)
	}
	return port, string(text)
}

// database is a PostgreSQL that lets everybody in.
func database(t *testing.T, dir string) (port int) {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		t.Skip("no PostgreSQL")
	}
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	command(t, dir, "chown", "nobody", data)
	as := func(args ...string) []string {
		return append([]string{"setpriv", "--reuid=nobody", "--clear-groups"}, args...)
	}
	init := as(found[0], "-D", data, "-A", "trust", "-U", "harn", "--no-sync")
	command(t, dir, init[0], init[1:]...)
	port = nettest.FreePort(t)
	serve(t, port, as(filepath.Join(filepath.Dir(found[0]), "postgres"), "-D", data, "-p", strconv.Itoa(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=")...)
	return port
}

// The walk of the README: an agent reaches a model by its name, and nothing else, whatever
// program it takes.
func TestEgressByName(t *testing.T) {
	a := shared.client
	if a.find().Attributes["driver.harn.egress"] != "true" {
		t.Fatal("the node has no driver.harn.egress")
	}
	knowNames(t)
	dir, err := os.MkdirTemp(kerneltest.Scratch(), "egress-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	model := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s says 42\n", r.Host, r.URL.Path)
	}))
	t.Cleanup(model.Close)
	_, text, _ := net.SplitHostPort(model.Listener.Addr().String())
	port, _ := strconv.Atoi(text)
	gitPort, key := gitServer(t, dir)
	dbPort := database(t, dir)
	program := filepath.Join(dir, "fetch")
	build := exec.Command("go", "build", "-o", program, "./testdata/fetch")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	allow := fmt.Sprintf(`"model.example.com:%d", "git.example.com:%d", "db.example.com:%d", "127.0.0.1:%[1]d", "127.0.0.1:%[2]d", "127.0.0.1:%[3]d"`, port, gitPort, dbPort)
	policy := func(allow string) string {
		return fmt.Sprintf(`
        capability_policy {
          sandbox_profile   = "os_hardened"
          side_effect_level = "network"
          workspace_roots   = ["local", "tmp"]
          read_only_roots   = [%q]
          egress {
            allow = [%s]
          }
        }`, dir, allow)
	}
	task := script(fmt.Sprintf(`
export HTTP_PROXY= HTTPS_PROXY= ALL_PROXY=
cd local
curl -sS --noproxy '*' http://model.example.com:%[1]d/curl
%[5]s/fetch http://model.example.com:%[1]d/go
python3 -c 'import urllib.request as u; print(u.urlopen("http://model.example.com:%[1]d/python").read().decode(), end="")'
cp key.pem key; chmod 600 key
GIT_SSH_COMMAND="ssh -i key -o StrictHostKeyChecking=no -o UserKnownHostsFile=known" git clone -q ssh://root@git.example.com:%[2]d%[5]s/repository clone 2> /dev/null
cat clone/greeting
psql -h db.example.com -p %[3]d -U harn -d postgres -Atc "select 'from the database'"
curl -sS --noproxy '*' http://pypi.example.org:%[1]d/ 2>&1
curl -sS --noproxy '*' --max-time 5 http://127.0.0.1:%[4]d/ 2>&1 | cut -d' ' -f1-7
%[5]s/fetch http://169.254.169.254/latest/meta-data 2>&1
echo end`, port, gitPort, dbPort, nettest.FreePort(t), dir), policy(allow)) + fmt.Sprintf(`
      template {
        destination = "local/key.pem"
        data        = <<-KEY
%s
KEY
      }
`, strings.TrimSpace(key))
	j := a.run(t, batch("egress-by-name", task))
	want := fmt.Sprintf(`model.example.com:%[1]d /curl says 42
model.example.com:%[1]d /go says 42
model.example.com:%[1]d /python says 42
from the repository
from the database
curl: (6) Could not resolve host: pypi.example.org
`, port)
	out := j.logs("stdout")
	if !strings.HasPrefix(out, want) || !strings.Contains(out, "169.254.169.254:80: connect: network is unreachable\nend\n") {
		t.Errorf("stdout:\n%s\nexpected:\n%s\nstderr:\n%s", out, want, j.logs("stderr"))
	}
	if events := j.events(); !strings.Contains(events, "Harn denied egress to pypi.example.org") {
		t.Errorf("events:\n%s", events)
	}

	// From the denial to the policy.
	denials := filepath.Join(dir, "denials.ndjson")
	if err := os.WriteFile(denials, []byte(j.denials()), 0o644); err != nil {
		t.Fatal(err)
	}
	job := filepath.Join(dir, "job.hcl")
	if err := os.WriteFile(job, []byte(batch("egress-by-name", task)), 0o644); err != nil {
		t.Fatal(err)
	}
	suggestion, err := exec.Command("../bin/nomad-driver-harn", "suggest", "-job", job, denials).Output()
	if err != nil || !strings.Contains(string(suggestion), `"pypi.example.org:443", # egress to pypi.example.org`) {
		t.Errorf("%s (%v)", suggestion, err)
	}
	again := a.run(t, batch("egress-again", script(fmt.Sprintf("curl -sS --noproxy '*' http://pypi.example.org:%d/", port),
		policy(fmt.Sprintf(`"pypi.example.org:%d", "127.0.0.1:%[1]d"`, port)))))
	again.wantLogs("stdout", fmt.Sprintf("pypi.example.org:%d / says 42\n", port))
}

// A service with egress is reached at the port that Nomad gave it.
func TestEgressPublishesAPort(t *testing.T) {
	t.Parallel()
	a := shared.client
	j := a.submit(t, `
job "egress-service" {
  group "g" {
    network {
      mode = "host"
      port "http" {}
    }
    task "t" {
      driver = "harn"
      resources {
        cpu    = 50
        memory = 128
      }
      config {
        command = "/usr/bin/python3"
        args    = ["-u", "-m", "http.server", "--bind", "${NOMAD_IP_http}", "${NOMAD_PORT_http}"]
        capability_policy {
          side_effect_level = "network"
          egress {}
        }
      }
    }
  }
}`)
	j.untilRunning()
	alloc := j.look()
	port := alloc.AllocatedResources.Shared.Ports[0]
	eventually(t, "the port does not lead to the task", func() bool {
		r, err := http.Get(fmt.Sprintf("http://%s/", net.JoinHostPort(port.HostIP, strconv.Itoa(port.Value))))
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
}

func TestEgressIsRefusedInABridge(t *testing.T) {
	t.Parallel()
	hcl := strings.Replace(batch("egress-bridge", script("true", `
        capability_policy {
          egress { allow = ["example.com:443"] }
        }`)), `  group "g" {`, `  group "g" {
    network {
      mode = "bridge"
    }`, 1)
	j := complete().submit(t, hcl)
	j.untilDead()
	if events := j.events(); !strings.Contains(events, `leave egress out, or use network { mode = "host" }`) {
		t.Errorf("events:\n%s", events)
	}
}

// Claude Code and Codex reach their model by its name, under os_hardened, and nothing
// else: what they fetch besides is denied, and they go on.
func TestAgentsReachTheirModelByName(t *testing.T) {
	if os.Getenv("HARN_PROGRAMS_LAYER") == "" {
		t.Skip("programs/with.sh runs this, with the programs that programs/fetch.sh has fetched")
	}
	knowNames(t)
	server := httptest.NewServer(model.Handler())
	t.Cleanup(server.Close)
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	for _, name := range []string{"claude-code", "codex"} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile("../example/programs/" + name + ".nomad.hcl")
			if err != nil {
				t.Fatal(err)
			}
			hcl := strings.NewReplacer(
				"127.0.0.1:8080", "model.example.com:"+port,
				`tcp_connect       = [8080]`, fmt.Sprintf("sandbox_profile = \"os_hardened\"\n egress { allow = [\"model.example.com:%s\", \"127.0.0.1:%[1]s\"] }", port),
				"cd $NOMAD_TASK_DIR\n", "cd $NOMAD_TASK_DIR; curl -s https://pypi.org/ || echo no pypi\n",
				fmt.Sprintf("job %q", name), fmt.Sprintf("job %q", name+"-by-name"),
			).Replace(string(text))
			j := shared.client.run(t, hcl)
			j.wantLogs("stdout", "no pypi\n", "made by a command, made by a tool\n")
			if t.Failed() {
				t.Logf("stderr: %s", j.logs("stderr"))
			}
			if events := j.events(); !strings.Contains(events, "Harn denied egress to pypi.org") {
				t.Errorf("events:\n%s", events)
			}
		})
	}
}
