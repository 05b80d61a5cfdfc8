// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package suggest

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/audit"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// sockets of a log, as "connect 443", "bind 80", "socket".
func socketsOf(t *testing.T, log string) string {
	t.Helper()
	lines, err := FromLog(strings.NewReader(log))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, line := range lines {
		switch line.Kind {
		case audit.Net:
			all = append(all, fmt.Sprint(strings.TrimSuffix(strings.TrimPrefix(line.Rights[0], "net."), "_tcp"), " ", line.Port))
		case audit.Syscall:
			all = append(all, line.Rights[0])
		}
	}
	return strings.Join(all, ", ")
}

// Lines that real programs have written without a network: testdata/sockets.txt has
// program, what the line says, and line.
func TestSocketsInLogs(t *testing.T) {
	text, err := os.ReadFile("testdata/sockets.txt")
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		fields := strings.SplitN(lines.Text(), "\t", 3)
		if got := socketsOf(t, "before\n"+fields[2]+"\nafter\n"); got != fields[1] {
			t.Errorf("%s: %s\n\tgot %q, expected %q", fields[0], fields[2], got, fields[1])
		}
	}
	for name, tc := range map[string]struct{ log, want string }{
		"a port in the line below": {"bash: socket: Operation not permitted\nbash: line 1: /dev/tcp/127.0.0.1/22: Operation not permitted\n", "connect 22"},
		"something between":        {"bash: socket: Operation not permitted\nok\nbash: line 1: /dev/tcp/127.0.0.1/22: Operation not permitted\n", "socket, connect 22"},
		"python": {
			"  File \"/usr/lib/python3.11/socket.py\", line 232, in __init__\n    _socket.socket.__init__(self, family, type, proto, fileno)\n    ^^^^\nPermissionError: [Errno 1] Operation not permitted\n", "socket",
		},
		"python, elsewhere": {"  File \"/usr/lib/python3.11/os.py\", line 232, in x\n    chown()\nPermissionError: [Errno 1] Operation not permitted\n", ""},
	} {
		if got := socketsOf(t, tc.log); got != tc.want {
			t.Errorf("%s: %q, expected %q", name, got, tc.want)
		}
	}
}

// What a log says of sockets is proposed below level network alone: ports where all of
// it names them, else the network.
func TestNetworkOfLogs(t *testing.T) {
	const (
		connect = "Error: connect EPERM 127.0.0.1:3999 - Local (undefined:undefined)\n"
		listen  = "Error: listen EPERM: operation not permitted 0.0.0.0:8123\n"
		plain   = "wget: socket: Operation not permitted\n"
	)
	below, with := policy.Policy{SideEffectLevel: "process_exec"}, policy.Policy{}
	for name, tc := range map[string]struct {
		policy, ceiling policy.Policy
		log             string
		level           string
		connect, bind   []int
		refused         int
	}{
		"ports":              {below, with, connect + listen + connect, "network", []int{3999}, []int{8123}, 0},
		"one without":        {below, with, connect + plain, "network", nil, nil, 0},
		"a network":          {with, with, connect + plain, "", nil, nil, 2},
		"beyond the ceiling": {below, below, connect, "process_exec", nil, nil, 1},
	} {
		lines, err := FromLog(strings.NewReader(tc.log))
		if err != nil {
			t.Fatal(err)
		}
		s := For(&tc.policy, &tc.ceiling, lines)
		if s.Policy.SideEffectLevel != tc.level || !slices.Equal(s.Policy.TCPConnect, tc.connect) || !slices.Equal(s.Policy.TCPBind, tc.bind) || len(s.Refused) != tc.refused {
			t.Errorf("%s: %+v, refused %+v", name, s.Policy, s.Refused)
		}
		if len(s.Changes) > 0 {
			if _, err := s.Verified(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// Of what a log says, the system and whole directories at the top get a reason.
func TestPlacesOfLogsThatAreTooMuch(t *testing.T) {
	for line, want := range map[string]string{
		"ls: cannot open directory '/opt': Permission denied":            "at the top of the file system",
		"bash: cd: /srv: No such file or directory":                      "at the top of the file system",
		"touch: cannot touch '/srv/new': Permission denied":              "at the top of the file system",
		"touch: cannot touch '/usr/lib/new': Read-only file system":      "it is the system's",
		"mkdir: cannot create directory '/tmp/new/x': Permission denied": "",
	} {
		lines, err := FromLog(strings.NewReader(line))
		if err != nil {
			t.Fatal(err)
		}
		s := For(&policy.Policy{WorkspaceRoots: []string{"local"}}, &policy.Policy{}, lines)
		if len(s.Changes) > 0 || (want == "") != (len(s.Refused) == 0) || want != "" && !strings.Contains(s.Refused[0].Reason, want) {
			t.Errorf("%s: changes %+v, refused %+v", line, s.Changes, s.Refused)
		}
	}
}
