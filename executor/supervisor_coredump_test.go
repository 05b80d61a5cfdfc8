// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"bytes"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

// Programs inherit the filter, in a task and in a session; and they have the kernel's
// default where core dumps are wanted.
func TestDumpFilter(t *testing.T) {
	f := newFixture(t)
	defaults, err := os.ReadFile("/proc/self/coredump_filter")
	if err != nil {
		kerneltest.Missing(t, "this kernel has no core dumps: %v", err)
	}
	const script = `bash -c "cat /proc/self/coredump_filter; echo 0x7f > /proc/self/coredump_filter || echo refused" 2> /dev/null`
	for name, tc := range map[string]struct {
		limits []Limit
		want   string
	}{
		"none":   {[]Limit{{Resource: unix.RLIMIT_CORE, Soft: 1, Hard: 1}}, "00000000\nrefused\n"},
		"0":      {[]Limit{{Resource: unix.RLIMIT_CORE}}, "00000000\nrefused\n"},
		"wanted": {[]Limit{{Resource: unix.RLIMIT_CORE, Soft: 0, Hard: 1 << 20}}, string(defaults) + "refused\n"},
		"as is":  {nil, string(defaults) + "refused\n"},
	} {
		plan := f.plan(script)
		plan.Confinement.Limits = tc.limits
		if out, _ := f.run(plan); out != tc.want {
			t.Errorf("%s: a task has %q, want %q", name, out, tc.want)
		}
		plan = f.plan("sleep 60")
		plan.Confinement.Limits = tc.limits
		if out, _ := inSession(t, f.mustStart(plan), f.plan(script).Process); out != tc.want {
			t.Errorf("%s: a session has %q, want %q", name, out, tc.want)
		}
	}
	// This process has what it had.
	if after, err := os.ReadFile("/proc/self/coredump_filter"); err != nil || !bytes.Equal(after, defaults) {
		t.Errorf("%s, %v, want %s", after, err, defaults)
	}
}

// inSession runs a program in a task, and returns what it writes, and its end.
func inSession(t *testing.T, task *running, p Process) (string, Exit) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	s, err := task.Exec(t.Context(), p, [3]*os.File{null, w, w}, nil)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	exit, err := s.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return string(out), exit
}

// A socket that core_pattern names (Linux 6.16) gets no memory of a task that has no
// core dumps, though the kernel does connect to it.
//
// It changes what the whole machine does, and the kernel takes the name of a socket
// in the first mount namespace only: so it is for a VM, in no namespaces of its own.
func TestCoreSocket(t *testing.T) {
	const pattern = "/proc/sys/kernel/core_pattern"
	if os.Getenv("HARN_VM") == "" {
		t.Skip("this test changes the machine's core_pattern: it runs in a VM (make kernels)")
	}
	// Older kernels take the name for that of a file.
	if modes, err := os.ReadFile("/proc/sys/kernel/core_modes"); err != nil || !bytes.Contains(modes, []byte("socket")) {
		t.Skipf("this kernel has no sockets in core_pattern: %s, %v", modes, err)
	}
	f := newFixture(t)
	before, err := os.ReadFile(pattern)
	if err != nil {
		t.Fatal(err)
	}
	// The kernel looks the name up in the root of its own threads, or, since they have
	// none (Linux 7.1), of process 1.
	const name = "/harn-core"
	dumps := make(chan []byte, 16)
	for _, root := range []string{"", "/proc/2/root"} {
		l, err := net.Listen("unix", root+name)
		if err != nil {
			continue // the second is the same as the first, or is not there
		}
		defer l.Close()
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				dump, _ := io.ReadAll(c)
				c.Close()
				dumps <- dump
			}
		}()
	}
	if err := os.WriteFile(pattern, []byte("@"+name), 0); err != nil {
		t.Skipf("this is not the first mount namespace: %v", err)
	}
	defer func() { _ = os.WriteFile(pattern, before, 0) }()
	received := func() []byte {
		t.Helper()
		select {
		case dump := <-dumps:
			return dump
		case <-time.After(time.Minute):
			t.Fatal("the kernel connected to no socket")
		}
		return nil
	}
	// The secret is in memory only, and not in a command line.
	const script = `secret=$(printf 'harn-%s-of-the-task' secret); kill -SEGV $$`
	const secret = "harn-secret-of-the-task"
	for name, tc := range map[string]struct {
		limits []Limit
		dumped bool
	}{
		"wanted": {[]Limit{{Resource: unix.RLIMIT_CORE, Soft: unix.RLIM_INFINITY, Hard: unix.RLIM_INFINITY}}, true},
		"none":   {[]Limit{{Resource: unix.RLIMIT_CORE, Soft: 1, Hard: 1}}, false},
		"0":      {[]Limit{{Resource: unix.RLIMIT_CORE}}, false},
	} {
		judge := func(who string, dump []byte) {
			t.Helper()
			t.Logf("%s, %s: %d bytes", name, who, len(dump))
			if got := bytes.Contains(dump, []byte(secret)); got != tc.dumped {
				t.Errorf("%s: the socket got the memory of %s: %v, want %v", name, who, got, tc.dumped)
			}
			if !tc.dumped && bytes.Contains(dump, []byte("GREETING=hello")) {
				t.Errorf("%s: the socket got the environment of %s", name, who)
			}
		}
		plan := f.plan(script)
		plan.Confinement.Limits = tc.limits
		task := f.mustStart(plan)
		judge("a task", received())
		if exit, err := task.Exit(); err != nil || exit.Signal != int(unix.SIGSEGV) {
			t.Errorf("%s: %+v, %v", name, exit, err)
		}
		plan = f.plan("sleep 600")
		plan.Confinement.Limits = tc.limits
		task = f.mustStart(plan)
		done := make(chan struct{})
		go func() {
			defer close(done)
			inSession(t, task, f.plan(strings.Replace(script, "$$", "$BASHPID", 1)).Process)
		}()
		judge("a session", received())
		<-done
	}
}
