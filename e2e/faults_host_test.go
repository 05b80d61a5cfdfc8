// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

const untilReleased = `echo start; while [ ! -e local/go ]; do sleep 0.05; done; exit `

// TestFaultFullDisk fills the file system of the state directory: no task
// starts, but those that run go on, and their exits are recorded.
func TestFaultFullDisk(t *testing.T) {
	a := newClient(t, shared.server, poolName(t), options{})
	state := a.dir + "/state"
	if err := os.MkdirAll(state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", state, "tmpfs", 0, "size=1m,mode=700"); err != nil {
		t.Fatal(err)
	}
	runs := a.submit(t, batch("full-runs", script(untilReleased+"5", ""))).untilRunning().untilLogged("start")
	ends := a.submit(t, batch("full-ends", script(untilReleased+"6", ""))).untilRunning().untilLogged("start")

	fill := filepath.Join(state, "fill")
	f, err := os.Create(fill)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
	if !strings.Contains(err.Error(), "no space left") {
		t.Fatal(err)
	}

	refused := a.run(t, batch("full-refused", script("echo never", "")))
	if got := refused.event("Driver Failure"); !strings.Contains(got, "state directory") || !strings.Contains(got, "no space left on device") {
		t.Errorf("%q\n%s", got, refused.events())
	}
	if pids := supervisors(refused); len(pids) > 0 || refused.count("Started") > 0 {
		t.Errorf("it is half started: %v\n%s", pids, refused.events())
	}
	// Even an exit that only the record tells: the plugin is killed.
	plugin := a.plugin(t)
	kill(t, plugin)
	release(t, a, ends)
	eventually(t, "the plugin was not started again", func() bool { return a.plugin(t) != plugin })
	if got := ends.untilDead().exited(); got != "Exit Code: 6" {
		t.Errorf("ended on a full disk: %q\n%s", got, ends.events())
	}
	if out, _, code := runs.exec(false, "", "echo", "goes on"); out != "goes on\n" || code != 0 {
		t.Errorf("exec: %q, %d", out, code)
	}
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	f.Close()
	a.run(t, batch("full-room", script("echo room", ""))).wantLogs("stdout", "room")
	release(t, a, runs)
	if got := runs.untilDead().exited(); got != "Exit Code: 5" {
		t.Errorf("ran on a full disk: %q\n%s", got, runs.events())
	}
	eventually(t, "records are left", func() bool {
		left, err := os.ReadDir(state)
		return err == nil && len(left) == 0
	})
}

// TestFaultReboot does to a client what a boot of the machine does: no process,
// no mount of it is left, and the boot ID is another one.
func TestFaultReboot(t *testing.T) {
	a := newClient(t, shared.server, poolName(t), options{})
	again := strings.NewReplacer("attempts  = 0\n      unlimited = false",
		"attempts = 1\n interval = \"1h\"\n delay = \"5s\"\n delay_function = \"constant\"\n unlimited = false")
	runs := a.submit(t, again.Replace(batch("boot-runs", script(untilReleased+"5", "")))).untilRunning().untilLogged("start")
	first := runs.alloc.ID
	ends := a.submit(t, batch("boot-ends", script(untilReleased+"6", ""))).untilRunning().untilLogged("start")
	// What is left of a task that no client knows of.
	stray := a.dir + "/state/00000000-t-36e02b0a3822ec31" // with the hash of its ID, as the driver names it
	if err := os.Mkdir(stray, 0o700); err != nil {
		t.Fatal(err)
	}
	record := fmt.Sprintf(`{"ID":"00000000-none/t/00000000","AllocID":"00000000-none","Task":"t","AllocDir":%q}`, a.dir+"/data/alloc/00000000-none")
	if err := os.WriteFile(stray+"/owner", []byte(record), 0o600); err != nil {
		t.Fatal(err)
	}

	plugin := a.plugin(t)
	a.stop(t, syscall.SIGKILL)
	kill(t, plugin)
	release(t, a, ends)
	eventually(t, "the task has not ended", func() bool { return len(supervisors(ends)) == 0 })
	for _, pid := range supervisors(runs) {
		kill(t, pid)
	}
	eventually(t, "the task has not ended", func() bool { return len(supervisors(runs)) == 0 })
	kerneltest.UnmountBeneath(a.dir)
	const bootID = "/proc/sys/kernel/random/boot_id"
	other := filepath.Join(a.dir, "boot_id")
	if err := os.WriteFile(other, []byte("00000000-0000-4000-8000-000000000000\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(other, bootID, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(bootID, 0); err != nil {
			t.Error(err)
		}
	}()
	a.start(t)

	// One that had ended before is known to have ended.
	if got := ends.untilDead().exited(); got != "Exit Code: 6" {
		t.Errorf("ended before the boot: %q\n%s", got, ends.events())
	}
	// One that ran is not taken for one that failed, nor for one that runs. Nomad
	// mounts nothing of an earlier allocation again: so there is a new one.
	eventually(t, "the task does not run again", func() bool {
		alloc := runs.look()
		return alloc != nil && alloc.ID != first && alloc.ClientStatus == "running"
	})
	before, _, err := a.Allocations().Info(first, nil)
	if err != nil {
		t.Fatal(err)
	}
	if events := describeEvents(before); !strings.Contains(events, "Failed Restoring Task") || strings.Contains(events, "Terminated") ||
		!strings.Contains(events, "are not mounted on "+a.dir+"/mounts/"+first+"-t") {
		t.Errorf("events of the allocation of before:\n%s", events)
	}
	runs.untilLogged("start")
	release(t, a, runs)
	if got := runs.untilDead().exited(); got != "Exit Code: 5" {
		t.Errorf("%q\n%s", got, runs.events())
	}
	eventually(t, "stale state is left", func() bool {
		left, err := os.ReadDir(a.dir + "/state")
		return err == nil && len(left) == 0
	})
}
