// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Nomad lets a plugin listen at a socket in the agent's directory for temporary files. A
// task of root to which a root shows the socket is not the agent.
func TestTasksDoNotCommandThePlugin(t *testing.T) {
	t.Parallel()
	a := complete()
	socket := listensAt(t, a.plugin(t))
	// The control: another socket of root's, which answers.
	other := filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", other)
	if err != nil {
		t.Fatal(err)
	}
	answers := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.NotFoundHandler(), Protocols: new(http.Protocols)}
	answers.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = answers.Serve(l) }()
	t.Cleanup(func() { _ = answers.Close() })

	ask := func(socket string) string {
		return "echo answer: $(curl -s -D - -o /dev/null --max-time 20 --http2-prior-knowledge --unix-socket " + socket +
			" -H 'Content-Type: application/grpc' --data-binary @/dev/null http://plugin/hashicorp.nomad.plugins.base.proto.BasePlugin/PluginInfo | head -n 1 | cut -d' ' -f2)"
	}
	j := a.run(t, batch("command-the-plugin", "user = \"root\"\n"+script(ask(socket)+"; "+ask(other)+"; ls -l "+socket, fmt.Sprintf(`
        capability_policy {
          side_effect_level = "network"
          workspace_roots   = [%q, %q]
        }`, socket, other))))
	if out := j.logs("stdout"); !strings.HasPrefix(out, "answer:\nanswer: 404\n") || !strings.Contains(out, socket) {
		t.Errorf("the plugin's socket, another one: %s\nstderr: %s\n%s", out, j.logs("stderr"), j.events())
	}
}

// listensAt is the path at which a process listens.
func listensAt(t *testing.T, pid int) string {
	t.Helper()
	held := map[string]bool{}
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if name, err := os.Readlink(fd); err == nil {
			held[name] = true
		}
	}
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/unix", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		const flags, inode, path, listens = 3, 6, 7, "00010000"
		f := strings.Fields(line)
		if len(f) > path && f[flags] == listens && held["socket:["+f[inode]+"]"] && strings.Contains(f[path], "/plugin") {
			return f[path]
		}
	}
	t.Fatalf("process %d listens nowhere:\n%s", pid, table)
	return ""
}
