// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
)

// A task that was started again in its allocation has a new ID, but its
// directories and cgroup are those of the start before: what that one has left
// says nothing of it. After a restart of the agent Nomad no longer says which
// dynamic user a task has: it keeps the one that its files belong to.
func TestRestartAroundAgentRestart(t *testing.T) {
	a := newClient(t, shared.server, poolName(t), options{})
	hcl := strings.Replace(batch("restart-around", script(`
		echo run >> local/runs
		[ $(wc -l < local/runs) = 1 ] && exit 3
		echo "run $(wc -l < local/runs) user $(id -u)"
		while [ ! -e local/go ]; do sleep 0.05; done
		exit 5`, "")), "attempts = 0\n      mode     = \"fail\"", "attempts = 5\n interval = \"1h\"\n delay = \"0s\"\n mode = \"fail\"", 1)
	j := a.submit(t, hcl).until("running again", func(s *api.TaskState) bool { return s.State == "running" && s.Restarts == 1 }).
		untilLogged("run 2 user ")
	time.Sleep(time.Second) // until the client has stored what it knows of the task
	a.stop(t, syscall.SIGINT)
	a.start(t)
	j.untilRestored()
	if got := j.look().TaskStates["t"]; got.State != "running" || got.Restarts != 1 {
		t.Errorf("%+v\n%s", got, j.events())
	}
	if out, _, code := j.exec(false, "", "echo", "lives"); out != "lives\n" || code != 0 {
		t.Errorf("exec: %q, %d", out, code)
	}
	if err := a.Allocations().Restart(j.alloc, "t", nil); err != nil {
		t.Fatal(err)
	}
	j.untilLogged("run 3 user ")
	lines := strings.Split(strings.TrimSpace(j.logs("stdout")), "\n")
	if len(lines) != 2 || strings.TrimPrefix(lines[0], "run 2 ") != strings.TrimPrefix(lines[1], "run 3 ") || strings.Contains(lines[1], "65534") {
		t.Errorf("%q, want the same dynamic user", lines)
	}
	release(t, a, j)
	if got := j.untilDead().exited(); got != "Exit Code: 5" {
		t.Errorf("%q\n%s", got, j.events())
	}
}
