// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
	"github.com/burin-labs/nomad-driver-harn/landlock"
)

// exec runs a script in a session to its end. What it has left running may hold its
// output: so that is a file.
func (r *running) exec(ctx context.Context, f *fixture, script string) (string, Exit, error) {
	f.t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	defer null.Close()
	out, err := os.CreateTemp(f.t.TempDir(), "out")
	if err != nil {
		f.t.Fatal(err)
	}
	defer out.Close()
	s, err := r.Exec(ctx, f.plan(script).Process, [3]*os.File{null, out, out}, nil)
	if err != nil {
		return "", Exit{}, err
	}
	exit, err := s.Wait()
	text, _ := os.ReadFile(out.Name())
	return string(text), exit, err
}

// statusField is a field of a process's status, "" if it is gone.
func statusField(pid int, field string) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// sessions are the processes of sessions that this process has started.
func sessions() (pids []int) {
	for _, pid := range children(os.Getpid()) {
		if cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); strings.HasPrefix(string(cmdline), sessionName) { // and its starter
			pids = append(pids, pid)
		}
	}
	return pids
}

// A task that stops or kills all that it may, all the time, does not keep a session
// from being answered, and nothing is left of one. Where the kernel scopes signals,
// sessions go on to work; where it does not, they fail in time.
func TestSessionsOfATaskThatSignalsAll(t *testing.T) {
	f := newFixture(t)
	for name, tc := range map[string]struct {
		signal string
		scoped bool
		root   bool // it may signal what has not changed its user yet, too
	}{
		"stops":         {signal: "STOP"},
		"kills":         {signal: "KILL"},
		"stops, root":   {signal: "STOP", root: true},
		"kills, root":   {signal: "KILL", root: true},
		"stops, scoped": {signal: "STOP", scoped: true},
		"kills, scoped": {signal: "KILL", scoped: true},

		"stops, root, scoped": {signal: "STOP", scoped: true, root: true},
		"kills, root, scoped": {signal: "KILL", scoped: true, root: true},
	} {
		t.Run(name, func(t *testing.T) {
			plan := f.plan("echo > signaling; while :; do kill -" + tc.signal + " -1; done")
			user := nobody
			if tc.root {
				user, plan.Confinement.User = 0, User{}
			}
			if err := os.Chown(f.workspace, user, user); err != nil {
				t.Fatal(err)
			}
			if tc.scoped {
				kerneltest.Landlock(t, 6) // scopes of signals
				plan.Confinement.Ruleset.Scoped = landlock.ScopeSignal
				plan.Confinement.SessionsSignal = true
			}
			_ = os.Remove(f.workspace + "/signaling")
			task := f.mustStart(plan)
			f.waitFor("signaling")
			watching := make(chan struct{})
			defer close(watching)
			var unconfined atomic.Pointer[string]
			go watchUsers(watching, &unconfined)
			for range 8 {
				ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
				if tc.scoped {
					cancel()
					ctx, cancel = context.WithTimeout(t.Context(), 20*time.Second)
				}
				before := time.Now()
				out, exit, err := task.exec(ctx, f, "echo hello")
				cancel()
				if took := time.Since(before); took > 10*time.Second {
					t.Errorf("answered after %v", took)
				}
				if tc.scoped && (err != nil || out != "hello\n") {
					t.Errorf("%q, %+v, %v, want hello", out, exit, err)
				}
				if out == "" && err == nil && exit.Signal == 0 {
					t.Errorf("%+v: it succeeded, but has not run", exit)
				}
			}
			if left := sessions(); len(left) > 0 {
				t.Errorf("sessions are left: %v", left)
			}
			if got := unconfined.Load(); got != nil {
				t.Errorf("the task's user before it was confined: %s", *got)
			}
			_ = task.Kill()
			select {
			case <-task.Done():
			case <-time.After(10 * time.Second):
				t.Error("the task does not end")
			}
		})
	}
}

// watchUsers looks for children of sessions that are the task's user's, and are not
// confined.
func watchUsers(until <-chan struct{}, found *atomic.Pointer[string]) {
	for {
		select {
		case <-until:
			return
		default:
		}
		for _, session := range sessions() {
			for _, pid := range children(session) {
				text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
				s := string(text)
				confined := strings.Contains(s, "\nSeccomp:\t2\n") && strings.Contains(s, "\nNoNewPrivs:\t1\n")
				if strings.Contains(s, fmt.Sprintf("\nUid:\t%d\t", nobody)) && !confined {
					found.Store(&s)
				}
			}
		}
	}
}

// A child that is killed before its program is none that has ended by a signal, and
// one that is stopped can be killed by whom it keeps waiting.
func TestChildEndsBeforeItExecutes(t *testing.T) {
	end := func(s *sequence, sig unix.Signal) {
		s.begin("asking who I am")
		s.call(unix.SYS_GETPID)
		s.begin("a signal")
		s.call(unix.SYS_KILL, 0, uintptr(sig)).OfLast = true
		file, _ := s.text("/bin/true")
		args, _ := s.texts([]string{"true"})
		s.begin("executing")
		s.call(unix.SYS_EXECVE, file, args, args).Last = true
	}
	proc, err := openPath("/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(proc)

	var killed, sibling, stopped sequence
	end(&killed, unix.SIGKILL)
	if child, err := killed.run(notOpen, proc); err == nil || !strings.Contains(err.Error(), "killed before it executed") {
		t.Errorf("killed: %v, %v", child, err)
	}
	end(&sibling, 0)
	child, err := sibling.run(notOpen, proc)
	if err != nil {
		t.Fatal(err)
	}
	var ws unix.WaitStatus
	if _, err := unix.Wait4(child.pid, &ws, 0, nil); err != nil || ws.ExitStatus() != 0 {
		t.Errorf("the sibling: %v, %v", ws, err)
	}
	end(&stopped, unix.SIGSTOP)
	stopped.born = new(int32)
	*stopped.born = notOpen
	go func() {
		for atomic.LoadInt32(stopped.born) == notOpen {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(50 * time.Millisecond)
		_ = unix.PidfdSendSignal(int(atomic.LoadInt32(stopped.born)), unix.SIGKILL, nil, 0)
	}()
	if child, err := stopped.run(notOpen, proc); err == nil || !strings.Contains(err.Error(), "killed before it executed") {
		t.Errorf("stopped and killed: %v, %v", child, err)
	}
}

// IDs that the kernel takes for "leave it" are not taken for changed.
func TestIDsAreCheckedAfterTheyWereChanged(t *testing.T) {
	f := newFixture(t)
	const none = 4294967295
	for want, user := range map[string]User{
		"user ID is 4294967295":  {UID: none, GID: nobody},
		"group ID is 4294967295": {UID: nobody, GID: none},
	} {
		plan := f.plan("id")
		plan.Confinement.User = user
		if task, err := f.start(plan); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, %v, want an error that says %q", user, task, err, want)
		}
	}
	for _, groups := range [][]uint32{nil, {7}, {9, 7, 7}} {
		plan := f.plan("id -G")
		plan.Confinement.User.Groups = groups
		if out, exit := f.run(plan); exit.Code != 0 {
			t.Errorf("groups %v: %q %+v", groups, out, exit)
		}
	}
}

// What a command has left running goes on when it has ended, with the task's others.
// What it has started ends with it if it is to end.
func TestWhatASessionLeavesRunning(t *testing.T) {
	f := newFixture(t)
	task := f.mustStart(f.plan("sleep 600"))
	const leave = `
		sleep 600 & echo $! > %[1]s-1
		setsid -f bash -c 'echo $$ > %[1]s-2; exec sleep 600'
		(setsid bash -c 'echo $$ > %[1]s-3; trap "" TERM HUP; while :; do sleep 600; done' &)
		while [ ! -s %[1]s-2 ] || [ ! -s %[1]s-3 ]; do sleep 0.01; done; echo done; %[2]s`
	alive := func(name string) (n int) {
		for i := range 3 {
			pid, err := os.ReadFile(fmt.Sprintf("%s/%s-%d", f.workspace, name, i+1))
			if err != nil {
				t.Fatal(err)
			}
			check, _, err := task.exec(t.Context(), f, "kill -0 "+strings.TrimSpace(string(pid))+" && echo alive")
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(check, "alive") {
				n++
			}
		}
		return n
	}
	out, exit, err := task.exec(t.Context(), f, fmt.Sprintf(leave, "left", "exit 3"))
	if err != nil || exit.Code != 3 || out != "done\n" {
		t.Errorf("%q, %+v, %v", out, exit, err)
	}
	if n := alive("left"); n != 3 {
		t.Errorf("%d are left of a command that has ended, want 3", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		f.waitFor("killed-3")
		time.Sleep(100 * time.Millisecond)
		cancel()
	}()
	if _, exit, err = task.exec(ctx, f, fmt.Sprintf(leave, "killed", "sleep 600")); err == nil && exit.Signal != int(unix.SIGKILL) {
		t.Errorf("%+v, %v, want it killed", exit, err)
	}
	if n := alive("killed"); n != 0 {
		t.Errorf("%d are left of a command that was to end, want none", n)
	}
	if n := alive("left"); n != 3 {
		t.Errorf("%d are left of the other one, want 3", n)
	}
	_ = task.Kill()
	<-task.Done()
	if left := sessions(); len(left) > 0 {
		t.Errorf("sessions are left: %v", left)
	}
}

// A session that is killed, stopped, or whose plugin is gone, takes its command
// along.
func TestSessionProcessEnds(t *testing.T) {
	f := newFixture(t)
	for name, user := range map[string]int{"user": nobody, "root": 0} {
		t.Run(name, func(t *testing.T) {
			processes := 2 // session and command
			if user == 0 {
				processes = 3 // and the starter
			}
			if err := os.Chown(f.workspace, user, user); err != nil {
				t.Fatal(err)
			}
			plan := f.plan("sleep 600")
			plan.Confinement.User = User{UID: uint32(user), GID: uint32(user)}
			testSessionProcessEnds(t, f, f.mustStart(plan), processes)
		})
	}
}

func testSessionProcessEnds(t *testing.T, f *fixture, task *running, processes int) {
	for name, end := range map[string]func(s *Session, session int){
		"killed":          func(_ *Session, session int) { _ = unix.Kill(session, unix.SIGKILL) },
		"stopped":         func(s *Session, session int) { _ = unix.Kill(session, unix.SIGSTOP); s.Kill() },
		"starter stopped": func(s *Session, _ int) { _ = s.runner.signal(unix.SIGSTOP); s.Kill() },
		"starter killed":  func(s *Session, _ int) { _ = s.runner.signal(unix.SIGKILL); s.Kill() },
		"let go":          func(s *Session, _ int) { s.plan.Close() },
	} {
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		_ = os.Remove(f.workspace + "/begun")
		s, err := task.Exec(t.Context(), f.plan("echo $$ > begun; exec sleep 600").Process, [3]*os.File{null, null, null}, nil)
		null.Close()
		if err != nil {
			t.Fatal(err)
		}
		f.waitFor("begun")
		all := append([]int{s.runner.PID}, descendants(s.runner.PID)...)
		command := all[len(all)-1]
		parent, err := ParentOf(command)
		if err != nil {
			t.Fatal(err)
		}
		end(s, parent)
		before := time.Now()
		_, _ = s.Wait()
		if took := time.Since(before); took > 8*time.Second {
			t.Errorf("%s: answered after %v", name, took)
		}
		for _, pid := range all {
			for range 100 {
				if statusField(pid, "Uid") == "" {
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
			if statusField(pid, "Uid") != "" {
				t.Errorf("%s: process %d is left", name, pid)
			}
		}
		if len(all) != processes {
			t.Errorf("%s: processes %v, want %d", name, all, processes)
		}
	}
}

// A session sees the task's processes, and no more of its supervisor than the task.
func TestSessionSeesItsTask(t *testing.T) {
	f := newFixture(t)
	task := f.mustStart(f.plan(`
		echo $$ > pid
		while [ ! -e begun ]; do sleep 0.01; done
		ls -d /proc/[0-9]* > seen; echo > looked
		exec sleep 600`))
	f.waitFor("pid")
	out, _, err := task.exec(t.Context(), f, `
		pid=$(cat pid)
		tr '\0' ' ' < /proc/$pid/cmdline | grep -q . && echo cmdline
		ls -d /proc/[0-9]* | grep -qx /proc/$pid && echo listed
		ps ax | grep -v ps | grep -q " $pid " && echo ps
		cat /proc/1/environ && echo environ
		ls /proc/1/fd && echo fd
		cat < /proc/1/mem && echo mem
		echo $$ > begun
		while [ ! -e looked ]; do sleep 0.01; done
		grep -qx /proc/$$ seen && echo seen`)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"cmdline\n", "listed\n", "ps\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	for _, no := range []string{"environ\n", "fd\n", "mem\n", "seen\n"} {
		if strings.Contains("\n"+out, "\n"+no) {
			t.Errorf("%q in %s", no, out)
		}
	}
}

// The terminal of a session is out of the task's reach; and it is one.
func TestSessionTerminal(t *testing.T) {
	f := newFixture(t)
	plan := f.plan(`
		while [ ! -e begun ]; do sleep 0.01; done
		for p in /dev/pts/* /proc/[0-9]*/fd/[012] /proc/[0-9]*/root/dev/pts/0; do
			case $p in /dev/pts/ptmx|/proc/$$/*) continue;; esac
			[ -t 9 ] 9<> $p && echo $p >> stolen
			{ echo intruder > $p; } 2> /dev/null && [ -c $p ] && [ ! $p -ef /dev/null ] && echo $p >> stolen
		done
		ls /dev/pts > terminals; echo > tried; sleep 600`)
	plan.Isolation.Mounts = append(plan.Isolation.Mounts, Mount{Type: Devpts, Target: "/dev/pts", Create: true},
		Mount{Type: Symlink, Source: "pts/ptmx", Target: "/dev/ptmx", Create: true},
		Mount{Type: Device, Source: "/dev/tty", Target: "/dev/tty", Create: true})
	abi, _ := landlock.Detect()
	access := (landlock.ReadFile | landlock.WriteFile | landlock.ReadDir | landlock.IoctlDev) & abi.Rights().FS
	plan.Confinement.Ruleset.Paths = append(plan.Confinement.Ruleset.Paths,
		landlock.PathRule{Path: "/dev/pts", Access: access}, landlock.PathRule{Path: "/dev/tty", Access: access &^ landlock.ReadDir})
	task := f.mustStart(plan)
	terminal, err := task.OpenTerminal()
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	p := f.plan(`tty; [ -c "$(tty)" ] && : < /dev/tty && echo own; script -qc tty /dev/null < /dev/null; echo $$ > begun
		while [ ! -e tried ]; do sleep 0.01; done; read line; echo "got $line"`).Process
	s, err := task.Exec(t.Context(), p, [3]*os.File{terminal.TTY, terminal.TTY, terminal.TTY}, terminal)
	if err != nil {
		t.Fatal(err)
	}
	terminal.TTY.Close()
	if _, err := terminal.User.WriteString("a line\n"); err != nil {
		t.Fatal(err)
	}
	out, _ := io.ReadAll(terminal.User) // EIO at the end
	if _, err := s.Wait(); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"/dev/pts/0\r\n", "own\r\n", "/dev/pts/1\r", "got a line\r\n"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in %q", want, out)
		}
	}
	f.waitFor("tried")
	stolen, _ := os.ReadFile(f.workspace + "/stolen")
	if len(stolen) > 0 || strings.Contains(string(out), "intruder") {
		t.Errorf("the task has reached the terminal: %s\n%s", stolen, out)
	}
	if seen, _ := os.ReadFile(f.workspace + "/terminals"); string(seen) != "ptmx\n" {
		t.Errorf("the task sees the terminals %q, want its own, which are none", seen)
	}
}

// In the host's PID namespace a session reaches its task if it may signal, and
// nothing but what it has started otherwise.
func TestSessionSignalsInTheHostsPIDNamespace(t *testing.T) {
	f := newFixture(t)
	kerneltest.Landlock(t, 6) // scopes of signals
	for signals, want := range map[bool]string{true: "own\ntask\n", false: "own\n"} {
		plan := f.plan("sleep 600")
		plan.Isolation.HostPID = true
		plan.Isolation.Mounts = slices.DeleteFunc(plan.Isolation.Mounts, func(m Mount) bool { return m.Type == Proc })
		plan.Isolation.Mounts = append(plan.Isolation.Mounts, Mount{Type: Bind, Source: "/proc", Target: "/proc", Create: true, KernelFiles: true})
		plan.Confinement.Ruleset.Scoped = landlock.ScopeSignal
		plan.Confinement.SessionsSignal = signals
		task := f.mustStart(plan)
		out, _, err := task.exec(t.Context(), f, "sleep 60 & kill -0 $! && echo own; kill -0 "+strconv.Itoa(task.PID())+" && echo task; kill $!")
		if got := strings.Join(slices.DeleteFunc(strings.SplitAfter(out, "\n"), func(s string) bool { return strings.Contains(s, "kill") }), ""); err != nil || got != want {
			t.Errorf("SessionsSignal %v: %q, %v, want %q", signals, out, err, want)
		}
		_ = task.Kill()
	}
}

// Where a command is looked up, and how it is said that it is not there.
func TestSessionFindsItsCommand(t *testing.T) {
	f := newFixture(t)
	if err := os.MkdirAll(f.workspace+"/near", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"here", "near/there", "near/ls"} {
		if err := os.WriteFile(filepath.Join(f.workspace, name), []byte("#!/bin/sh\necho ran "+name+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	task := f.mustStart(f.plan("sleep 600"))
	for command, want := range map[string]struct {
		out  string
		code int // 0: it runs
	}{
		"./here":      {"ran here\n", 0},
		"./there":     {"ran near/there\n", 0},
		"there":       {"ran near/there\n", 0},
		"ls":          {"", 0}, // that of PATH
		"nosuch":      {"not found", NotFound},
		"./nosuch":    {"not found", NotFound},
		"/nosuch":     {"no such file", NotFound},
		"/etc/passwd": {"permission denied", NotExecutable},
		"/usr":        {"permission denied", NotExecutable},
	} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		p := f.plan("").Process
		p.Path, p.Near, p.Args = command, []string{f.workspace + "/near"}, []string{command}
		s, err := task.Exec(t.Context(), p, [3]*os.File{w, w, w}, nil)
		w.Close()
		var unrunnable *CommandError
		switch {
		case want.code == 0 && err != nil:
			t.Errorf("%s: %v", command, err)
		case want.code == 0:
			out, _ := io.ReadAll(r)
			if _, err := s.Wait(); err != nil || !strings.Contains(string(out), want.out) || want.out == "" && strings.Contains(string(out), "ran") {
				t.Errorf("%s: %q, %v", command, out, err)
			}
		case !errors.As(err, &unrunnable) || unrunnable.Code != want.code || !strings.Contains(err.Error(), want.out):
			t.Errorf("%s: %#v, want code %d and %q", command, err, want.code, want.out)
		}
		r.Close()
	}
}
