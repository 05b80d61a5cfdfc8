// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

// ticks is the CPU time of a process, in hundredths of a second, proc_pid_stat(5).
func ticks(t *testing.T, pid int) (sum uint64) {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []int{14, 15} {
		n, err := statNumber(stat, field)
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}

// A task that writes as much and as often as it can has its supervisor, which no
// limit of the task's counts, use no more than a small part of a processor.
func TestLogFloodCostsTheSupervisorLittle(t *testing.T) {
	if os.Getenv("HARN_VM") != "" { // of vm.sh
		t.Skip("what takes how much of an emulated processor is another matter")
	}
	f := newFixture(t)
	if !exists("/usr/bin/perl") {
		kerneltest.Missing(t, "no perl here")
	}
	for name, script := range map[string]string{
		"single bytes":        `exec perl -e 'syswrite(STDOUT, "x") while 1'`,
		"large blocks":        `exec perl -e '$b = ("x" x 79 . "\\n") x 10000; syswrite(STDOUT, $b) while 1'`,
		"both streams":        `perl -e '$b = "x" x 99999; syswrite(STDOUT, $b) while 1' & exec perl -e 'syswrite(STDERR, "x") while 1'`,
		"bytes with pauses":   `exec perl -e 'while (1) { syswrite(STDOUT, "x"); select undef, undef, undef, 0.00002 }'`,
		"a line at each turn": `while :; do echo x; done`,
	} {
		plan := f.loggedPlan(script)
		logs, err := os.Open(f.logDir())
		if err != nil {
			t.Fatal(err)
		}
		f.n++
		task, err := StartLogged("test", fmt.Sprintf("%s/%d", f.dir, f.n), plan, logs)
		if err != nil {
			t.Fatal(err)
		}
		const measured = 2 * time.Second
		time.Sleep(100 * time.Millisecond)
		before, began := ticks(t, task.runner.PID), time.Now()
		own := ticks(t, task.PID())
		time.Sleep(measured)
		elapsed := time.Since(began)
		used := time.Duration(ticks(t, task.runner.PID)-before) * 10 * time.Millisecond
		own = ticks(t, task.PID()) - own
		share := 100 * used.Seconds() / elapsed.Seconds()
		t.Logf("%s: supervisor %.1f %% of a processor, the task's first process %.1f %%", name, share, float64(own)/elapsed.Seconds())
		const most = 15
		if share > most {
			t.Errorf("%s: the supervisor used %.1f %% of a processor, at most %d are to be", name, share, most)
		}
		if info, err := os.Stat(fmt.Sprintf("%s/t.stdout.0", logs.Name())); name != "both streams" && (err != nil || info.Size() == 0) {
			if last, err := os.ReadDir(logs.Name()); err != nil || len(last) == 0 {
				t.Errorf("%s: nothing was logged", name)
			}
		}
		logs.Close()
		if err := task.Remove(); err != nil {
			t.Error(err)
		}
	}
}
