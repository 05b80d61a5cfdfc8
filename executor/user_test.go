// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

// who prints all IDs of a process, proc_pid_status(5).
const who = `grep -E "^(Uid|Gid|Groups):" /proc/self/status | tr -s " \t\n" " "`

func printed(u User) string {
	ids := func(id uint32) string { return strings.TrimSpace(strings.Repeat(fmt.Sprintf("%d ", id), 4)) }
	text := fmt.Sprintf("Uid: %s Gid: %s Groups: ", ids(u.UID), ids(u.GID))
	for _, gid := range u.Groups {
		text += fmt.Sprintf("%d ", gid)
	}
	return text
}

// Whatever number a user has, its task is that user, in all its IDs, or is not
// started. What -1 means to setresuid(2) no number of a user may mean.
func TestTaskIsTheUserOfItsPlan(t *testing.T) {
	f := newFixture(t)
	for _, u := range []User{
		{UID: nobody, GID: nobody},
		{UID: nobody, GID: nobody, Groups: []uint32{1, 2, 3}},
		{UID: 1, GID: 2},
		{UID: 65535, GID: 65535}, // -1 of 16 bits
		{UID: 1<<31 - 1, GID: 1<<31 - 1},
		{UID: 1 << 31, GID: 1 << 31},
		{UID: noID - 1, GID: noID - 1, Groups: []uint32{noID - 1}},
		{UID: 0, GID: 0},
	} {
		plan := f.plan(who)
		plan.Confinement.User = u
		plan.Process.Dir = "/"
		if got, _ := f.run(plan); got != printed(u) {
			t.Errorf("%+v: the task has %q, want %q", u, got, printed(u))
		}
	}
	for _, u := range []User{
		{UID: noID, GID: nobody},
		{UID: nobody, GID: noID},
		{UID: noID, GID: noID},
		{UID: nobody, GID: nobody, Groups: []uint32{4, noID}},
	} {
		plan := f.plan(who)
		plan.Confinement.User = u
		task, err := f.start(plan)
		if err == nil {
			t.Errorf("%+v: started: %s", u, <-task.out)
			_ = task.Remove()
			continue
		}
		if !strings.Contains(err.Error(), "4294967295") || !strings.Contains(err.Error(), "expected 0 to 4294967294") {
			t.Errorf("%+v: %v", u, err)
		}
	}
}

// The child finds out when the kernel has not changed an ID, whoever let that
// pass.
func TestUserIsProved(t *testing.T) {
	kerneltest.Root(t)
	proc, err := openPath("/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(proc)
	try := func(u User) error {
		var s sequence
		becomeUser(&s, u, false)
		l := launch{Process: &Process{Path: "/bin/true", Args: []string{"true"}}, Confinement: &Confinement{}}
		if err := l.execute(&s); err != nil {
			return err
		}
		child, err := s.run(notOpen, proc)
		if err != nil {
			return err
		}
		defer unix.Close(child.pidfd)
		var ws unix.WaitStatus
		_, err = unix.Wait4(child.pid, &ws, 0, nil)
		return err
	}
	if err := try(User{UID: 1, GID: 2, Groups: []uint32{3}}); err != nil {
		t.Errorf("the control: %v", err)
	}
	for want, u := range map[string]User{
		"becoming user 4294967295":  {UID: noID, GID: 2, Groups: []uint32{3}},
		"becoming group 4294967295": {UID: 1, GID: noID, Groups: []uint32{3}},
	} {
		if err := try(u); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", u, err, want)
		}
	}
}
