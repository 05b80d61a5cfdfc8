// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"cmp"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

// Programs that people run, under the default policy and, where it makes a
// difference, without network. All of it runs under os_hardened as well.
func TestRealPrograms(t *testing.T) {
	t.Parallel()
	a := shared.client
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintln(w, "hello from the server")
	}))
	t.Cleanup(server.Close) // after the subtests, which are parallel
	const noNetwork = "capability_policy {\n side_effect_level = \"process_exec\"\n}"
	for _, tc := range []struct {
		name, program, script, policy string
		want                          []string
	}{
		{
			"bash", "bash", `
			echo nothing > /dev/null && IFS=: read -r name rest < <(grep ^root: /etc/passwd) && echo "read [$name]"
			printf 'b\na\n' | sort | tr '\n' ' ' && echo pipes
			cat <(echo process) <<< x && cat <<-EOF
			here document
			EOF
			echo to stderr > /dev/stderr; echo to stdout > /dev/stdout
			head -c 4 /dev/urandom | wc -c; head -c 3 /dev/zero | wc -c
			[ -e /dev/tty ] && (echo x > /dev/full) 2>&1 | grep -o 'No space left'
			(sleep 0.1 & wait) && kill -0 $$ && ulimit -n > /dev/null && echo jobs`,
			"",
			[]string{"read [root]\na b pipes\nprocess\nhere document\nto stdout\n4\n3\nNo space left\njobs\n"},
		},
		{"python3", "python3", `python3 - <<'EOF'
import json, multiprocessing, os, random, socket, sqlite3, ssl, subprocess, tempfile, threading, urllib.request
print(subprocess.run(["echo", "subprocess"], capture_output=True, text=True).stdout, end="")
with tempfile.NamedTemporaryFile("w+") as f:
    f.write("tempfile"); f.seek(0); print(f.read(), f.name.startswith("/tmp/"))
lock = multiprocessing.Lock()
with multiprocessing.Pool(2) as p: print(p.map(abs, [-1, 2]))
t = threading.Thread(target=lambda: print("thread")); t.start(); t.join()
db = sqlite3.connect("local/db"); db.execute("create table t(x)"); db.commit(); print("sqlite")
print(socket.gethostbyname("localhost"), os.cpu_count() >= 1)
EOF`, "", []string{"subprocess\ntempfile True\n[1, 2]\nthread\nsqlite\n127.0.0.1 True\n"}},
		{
			"node", "node", `node -e '
			const fs = require("fs"), os = require("os"), cp = require("child_process");
			console.log(cp.execSync("echo child").toString().trim());
			fs.writeFileSync(os.tmpdir() + "/f", "file"); console.log(fs.readFileSync("/tmp/f", "utf8"));
			console.log(os.cpus().length >= 1);
			fetch(process.argv[1]).then(r => r.text()).then(x => console.log(x.trim()));' ` + server.URL,
			"",
			[]string{"child\nfile\ntrue\nhello from the server\n"},
		},
		{
			"java", "java", `java -version 2>&1 | head -n 1; java -XshowSettings:properties -version 2>&1 | grep -o 'java.io.tmpdir = /tmp'`,
			"",
			[]string{"version", "java.io.tmpdir = /tmp"},
		},
		{
			"git", "git", `
			git init -q local/repo && cd local/repo && echo x > f && git add f &&
			git -c user.name=n -c user.email=e commit -q -m message && git log --format=%s && git gc -q && git fsck`,
			"",
			[]string{"message\n"},
		},
		{
			"tar", "tar", `
			mkdir -p local/d/e && echo content > local/d/e/f && tar -C local -czf local/d.tgz d && mkdir local/x &&
			tar -C local/x -xzf local/d.tgz && cat local/x/d/e/f`,
			"",
			[]string{"content\n"},
		},
		{
			"curl", "curl", `curl -sS ` + server.URL + `; curl -sS --resolve h.test:1:127.0.0.1 http://h.test:1 || echo "curl exits $?"`,
			"",
			[]string{"hello from the server\n", "curl exits 7"},
		},
		{
			"curl-refused", "curl", `curl -sS ` + server.URL + ` || echo "curl exits $?"`,
			noNetwork,
			[]string{"curl exits 7\n"},
		},
		{
			"python3-refused", "python3", `python3 -c 'import socket; socket.socket()' 2>&1 | tail -n 1`,
			noNetwork,
			[]string{"PermissionError: [Errno 1] Operation not permitted"},
		},
		{
			"gcc", "gcc", `
			printf '#include <pthread.h>\n#include <stdio.h>\nvoid *f(void *x) { return puts("thread"), x; }\nint main(void) { pthread_t t; return pthread_create(&t, 0, f, 0) || pthread_join(t, 0); }' > local/x.c &&
			gcc -O2 -pthread -o local/x local/x.c && local/x`,
			"",
			[]string{"thread\n"},
		},
		{
			"go", "../local/go/bin/go", `
			export PATH=$PATH:/usr/local/go/bin HOME=/tmp GOCACHE=/tmp/cache GOFLAGS=-p=1 CGO_ENABLED=0 GOTOOLCHAIN=local && mkdir local/x && cd local/x &&
			printf 'package main\nimport "os"\nfunc main() { c := make(chan string); go func() { c <- "built" }(); os.Stdout.WriteString(<-c) }' > main.go &&
			go mod init x 2> /dev/null && go build && ./x`,
			"",
			[]string{"built"},
		},
	} {
		for _, profile := range []string{"worktree", "os_hardened"} {
			t.Run(tc.name+"/"+profile, func(t *testing.T) {
				t.Parallel()
				// Not one of a user's own, which tasks cannot read.
				if _, err := exec.LookPath("/usr/bin/" + tc.program); err != nil {
					kerneltest.Missing(t, "/usr/bin/%s is not installed: make setup", tc.program)
				}
				policy, text := tc.policy, tc.script
				if tc.name == "go" && inVM {
					// The standard library is compiled before: there it takes minutes.
					policy = fmt.Sprintf("capability_policy {\n read_only_roots = [%q]\n}", binary("vm/gocache"))
					text = "cp -r " + binary("vm/gocache") + " /tmp/cache &&" + text
				}
				if profile == "os_hardened" {
					policy = "capability_policy {\n sandbox_profile = \"os_hardened\"\n" + strings.TrimPrefix(cmp.Or(policy, "}"), "capability_policy {\n")
				}
				task := strings.Replace(script(text, policy), "/bin/bash", "/usr/bin/bash", 1)
				hcl := strings.Replace(batch("program-"+tc.name+"-"+strings.ReplaceAll(profile, "_", "-"), task), "memory = 128", "memory = 1024", 1)
				j := a.run(t, hcl)
				if got := j.exited(); !strings.HasPrefix(got, "Exit Code: 0") {
					t.Errorf("%q\nstderr: %s\n%s", got, j.logs("stderr"), j.events())
				}
				j.wantLogs("stdout", tc.want...)
				if tc.name == "bash" {
					j.wantLogs("stderr", "to stderr\n")
				}
			})
		}
	}
}

// What a real job has of os_hardened, and its supervisor of its privileges.
func TestOSHardened(t *testing.T) {
	t.Parallel()
	const policy = "capability_policy {\n sandbox_profile = \"os_hardened\"\n}"
	const look = `
		grep -e CapBnd -e NoNewPrivs -e Seccomp: /proc/self/status; ulimit -c
		unshare --user true 2>&1 | grep -o 'Operation not permitted' || echo 'a user namespace'
		setarch -R true 2>&1 | grep -o 'Operation not permitted' || echo 'no randomization'
		echo ready; sleep 60`
	for name, want := range map[string]string{
		policy: "Operation not permitted\nOperation not permitted\n",
		"":     "a user namespace\nno randomization\n",
	} {
		j := shared.client.submit(t, batch("os-hardened-"+strconv.Itoa(len(name)), script(look, name))).untilRunning().untilLogged("ready")
		j.wantLogs("stdout", "CapBnd:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n0\n"+want)
		for _, pid := range supervisors(j) {
			threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
			if err != nil || len(threads) == 0 {
				t.Fatalf("supervisor %d has no threads: %v", pid, err)
			}
			for _, file := range threads {
				status, err := os.ReadFile(file)
				if err != nil {
					continue // it has ended
				}
				for _, line := range []string{"CapEff:\t0000000000000020\n", "CapPrm:\t0000000000000020\n", "NoNewPrivs:\t1\n", "Seccomp:\t2\n"} {
					if !strings.Contains(string(status), line) {
						t.Errorf("no %q in a thread of the supervisor:\n%s", line, status)
					}
				}
			}
		}
	}
}
