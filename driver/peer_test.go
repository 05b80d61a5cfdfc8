// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
)

// Root of a process that the agent has not started is no agent: a task may see the socket.
func TestPluginAnswersItsAgentAlone(t *testing.T) {
	for name, tc := range map[string]struct {
		options  []grpc.ServerOption
		stranger bool // gets an answer
	}{
		"as the plugin serves": {[]grpc.ServerOption{grpc.Creds(&agentOnly{processes: whoStarted(), logger: testLogger(t)})}, false},
		"without":              {nil, true},
	} {
		d := New(t.Context(), testLogger(t))
		client, connection := served(t, d, d, tc.options...)
		if _, err := client.Capabilities(); err != nil {
			t.Errorf("%s: the agent: %v", name, err)
		}
		out, err := exec.Command("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "20", "--http2-prior-knowledge", "--unix-socket", strings.TrimPrefix(connection.Target(), "unix://"),
			"-H", "Content-Type: application/grpc", "--data-binary", "@/dev/null", "http://plugin/hashicorp.nomad.plugins.drivers.proto.Driver/Capabilities").CombinedOutput()
		if answered := err == nil && string(out) == "200"; answered != tc.stranger {
			t.Errorf("%s: a stranger: %s (%v), expected an answer: %v", name, out, err, tc.stranger)
		}
	}
}

// The end of the agent is noticed, and no other process that has its PID is the agent.
func TestPluginNoticesTheEndOfItsAgent(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	agent := pidfd(t, cmd.Process.Pid)
	ended := make(chan string, 1)
	a := &agentOnly{ended: func(address string) { ended <- address }}
	go a.await(agent, "socket")
	if !agent.lives() {
		t.Error("it has ended before it ended")
	}
	select {
	case <-ended:
		t.Error("its end came before it ended")
	case <-time.After(100 * time.Millisecond):
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	select {
	case <-ended:
	case <-ctx.Done():
		t.Error("its end was not noticed")
	}
	if agent.lives() {
		t.Error("it lives after its end")
	}
}

func pidfd(t *testing.T, pid int) starter {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return starter{pid, fd}
}
