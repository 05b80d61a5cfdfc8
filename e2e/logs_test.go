// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

// logmons are Nomad's processes that collect logs for a client.
func (a *client) logmons() (pids []int) {
	for _, p := range kerneltest.Processes() {
		if len(p.Args) > 1 && p.Args[1] == "logmon" && p.Parent() == a.cmd.Process.Pid {
			pids = append(pids, p.PID)
		}
	}
	return pids
}

// logFiles are the sizes of a task's log files, by name.
func (j *job) logFiles(stream string) map[string]int64 {
	j.t.Helper()
	files, _, err := j.a.AllocFS().List(j.alloc, "alloc/logs", nil)
	if err != nil {
		j.t.Fatal(err)
	}
	sizes := map[string]int64{}
	for _, f := range files {
		if strings.HasPrefix(f.Name, "t."+stream+".") {
			sizes[f.Name] = f.Size
		}
	}
	return sizes
}

// Supervisors collect the logs, and no process of Nomad does.
func TestLogsByDriver(t *testing.T) {
	a := newClient(t, shared.server, poolName(t), options{plugin: `
    logs {
      collector     = "driver"
      max_files     = 3
      max_file_size = 2
    }`})
	if got := a.find().Attributes["driver.harn.logs"]; got != "driver" {
		t.Errorf("driver.harn.logs is %q", got)
	}

	t.Run("both", func(t *testing.T) {
		j := a.submit(t, batch("own-logs", script(`echo out; echo err >&2; echo by name > /dev/stdout; while [ ! -e local/go ]; do sleep 0.05; done; echo end`, ""))).
			untilRunning().untilLogged("by name")
		if pids := a.logmons(); len(pids) > 0 {
			t.Errorf("Nomad collects logs, too: processes %v", pids)
		}
		release(t, a, j)
		j.untilDead()
		if got := j.logs("stdout"); got != "out\nby name\nend\n" {
			t.Errorf("stdout %q", got)
		}
		if got := j.logs("stderr"); got != "err\n" {
			t.Errorf("stderr %q", got)
		}
	})
	t.Run("rotation", func(t *testing.T) {
		for name, want := range map[string]struct {
			config string
			files  int
			size   int64
		}{
			"operators": {"", 3, 2 << 20},
			"jobs":      {"logs {\n max_files = 2\n max_file_size = 1\n}", 2, 1 << 20},
		} {
			j := a.run(t, batch("own-rotation-"+name, script("seq 1 1500000", want.config)))
			sizes := j.logFiles("stdout")
			for name, size := range sizes {
				if size > want.size {
					t.Errorf("%s has %d bytes", name, size)
				}
			}
			if len(sizes) != want.files || !strings.HasSuffix(j.logs("stdout"), "\n1500000\n") {
				t.Errorf("files %v", sizes)
			}
		}
	})
	t.Run("restart", func(t *testing.T) {
		hcl := strings.Replace(batch("own-restart", script(`echo run >> local/runs; wc -l < local/runs; [ $(wc -l < local/runs) = 2 ]`, "")),
			"attempts = 0\n      mode     = \"fail\"", "attempts = 3\n interval = \"10m\"\n delay = \"0s\"\n mode     = \"fail\"", 1)
		if got := a.run(t, hcl).logs("stdout"); got != "1\n2\n" {
			t.Errorf("%q", got)
		}
	})
	t.Run("disabled", func(t *testing.T) {
		j := a.run(t, batch("own-disabled", script("echo unheard; echo x > /dev/stdout; echo y >&2", "")+"logs {\n disabled = true\n}"))
		if got := j.exited(); got != "Exit Code: 0" || len(j.logFiles("stdout")) > 0 {
			t.Errorf("%q\n%s", got, j.events())
		}
	})
	t.Run("refused", func(t *testing.T) {
		j := a.run(t, batch("own-too-many", script("true", "logs {\n max_files = 4\n}")))
		if got := j.event("Driver Failure"); !strings.Contains(got, "logs: max_files: 4, expected 1 to 3: the operator's limit") {
			t.Errorf("%q\n%s", got, j.events())
		}
		j.wantNotStarted()
	})
	// Last: they end the plugin and the agent.
	t.Run("survives", func(t *testing.T) {
		j := a.submit(t, batch("own-survives", script(`i=0; while [ ! -e local/go ]; do echo $i; i=$((i+1)); sleep 0.02; done; echo end`, ""))).
			untilRunning().untilLogged("10\n")
		time.Sleep(time.Second) // until the client has stored what it knows
		kill(t, a.plugin(t))
		a.stop(t, syscall.SIGKILL)
		a.start(t)
		j.untilRestored()
		release(t, a, j)
		j.untilDead()
		lines := strings.Split(strings.TrimSpace(j.logs("stdout")), "\n")
		for i, line := range lines[:len(lines)-1] {
			if line != fmt.Sprint(i) {
				t.Fatalf("line %d is %q", i, line)
			}
		}
		if last := lines[len(lines)-1]; last != "end" || len(lines) < 50 {
			t.Errorf("%d lines, the last is %q", len(lines), last)
		}
	})
}

// The sibling: by default Nomad does, and a task's own limits are refused.
func TestLogsByNomad(t *testing.T) {
	t.Parallel()
	a := shared.client
	if got := a.find().Attributes["driver.harn.logs"]; got != "nomad" {
		t.Errorf("driver.harn.logs is %q", got)
	}
	a.submit(t, batch("nomads-logs", script("echo out; sleep 60", ""))).untilRunning().untilLogged("out")
	if len(a.logmons()) == 0 {
		t.Error("no logmon")
	}
	j := a.run(t, batch("nomads-limits", script("true", "logs {\n max_files = 2\n}")))
	if got := j.event("Driver Failure"); !strings.Contains(got, `logs: on this node Nomad collects the logs`) {
		t.Errorf("%q\n%s", got, j.events())
	}
	j.wantNotStarted()
}
