// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package kerneltest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// victimVariable: this process is a tool that somebody interrupts.
const victimVariable = "HARN_KERNELTEST_VICTIM"

func TestMain(m *testing.M) {
	if os.Getenv(victimVariable) != "" {
		Isolate()
		victim()
	}
	os.Exit(m.Run())
}

// survivor outlives whoever starts it, as an agent's plugin does, whatever ends that.
const survivor = `trap '' INT TERM HUP; exec setsid sleep 98764`

// victim starts and makes what is to be gone, says so, and goes on until it is ended.
func victim() {
	dir := filepath.Join(Scratch(), "made")
	cgroup := filepath.Join(os.Getenv(victimVariable), "task")
	fail := func(err error) {
		if err != nil {
			fmt.Println(err)
			os.Exit(3)
		}
	}
	fail(os.Mkdir(dir, 0o755))
	fail(os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o600))
	fail(unix.Mount("tmpfs", dir, "tmpfs", 0, ""))
	cmd := exec.Command("sh", "-c", survivor)
	fail(cmd.Start())
	if os.Getenv(victimVariable) != "none" {
		fail(os.Mkdir(cgroup, 0o755))
		fail(os.WriteFile(filepath.Join(cgroup, "cgroup.procs"), fmt.Append(nil, cmd.Process.Pid), 0o600))
	}
	fmt.Println("ready", Scratch())
	time.Sleep(time.Hour)
}

// nomadCgroup makes a cgroup where a Nomad client has its tasks', as if one were there; none
// where there are no such hierarchies.
func nomadCgroup(t *testing.T) string {
	for _, parent := range []string{"/sys/fs/cgroup/pids/nomad", "/sys/fs/cgroup/nomad.slice"} {
		if _, err := os.Stat(filepath.Join(filepath.Dir(parent), "cgroup.procs")); err != nil {
			continue
		}
		made := os.Mkdir(parent, 0o755) == nil
		dir, err := os.MkdirTemp(parent, "kerneltest")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = unix.Rmdir(filepath.Join(dir, "task"))
			_ = unix.Rmdir(dir)
			if made {
				_ = unix.Rmdir(parent)
			}
		})
		return dir
	}
	return "none"
}

// survivors are the processes of that kind that descend from one.
func survivors(ancestor int) (pids []int) {
	for _, p := range Processes() {
		if !slices.Equal(p.Args, []string{"sleep", "98764"}) {
			continue
		}
		for up := p; up.PID > 1; up = (Process{PID: up.Parent()}) {
			if up.PID == ancestor {
				pids = append(pids, p.PID)
				break
			}
		}
	}
	return pids
}

func there(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), unix.ESRCH) }

func untilGone(t *testing.T, pids []int) {
	t.Helper()
	for end := time.Now().Add(time.Minute); slices.ContainsFunc(pids, there); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("processes %v are still there", pids)
			return
		}
	}
}

// interruption is a way to end a tool. The kernel's own leaves directories: nobody is left
// to remove them.
type interruption struct {
	name string
	send func(pid int) error
	all  bool
}

var interruptions = []interruption{
	{"a terminal", func(pid int) error { return syscall.Kill(-pid, unix.SIGINT) }, true},
	{"SIGTERM", func(pid int) error { return syscall.Kill(pid, unix.SIGTERM) }, true},
	{"SIGHUP", func(pid int) error { return syscall.Kill(pid, unix.SIGHUP) }, true},
	{"SIGKILL", func(pid int) error { return syscall.Kill(pid, unix.SIGKILL) }, false},
}

// interrupt starts a tool in a process group of its own, as a terminal would, interrupts it
// once it says "ready DIRECTORY", and checks what is left.
func interrupt(t *testing.T, how interruption, command *exec.Cmd) {
	t.Helper()
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	command.Stderr = os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = command.Process.Kill() }()
	line, err := bufio.NewReader(out).ReadString('\n')
	dir, ready := strings.CutPrefix(strings.TrimSpace(line), "ready ")
	if !ready {
		rest, _ := io.ReadAll(out)
		t.Fatalf("it says %q, %v, %s", line, err, rest)
	}
	if _, err := os.Stat(filepath.Join(dir, "made")); err != nil {
		t.Fatal(err)
	}
	var pids []int
	for len(pids) == 0 { // it is about to become that program
		pids = survivors(command.Process.Pid)
	}
	if err := how.send(command.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err == nil {
		t.Error("it says that all went well")
	}
	untilGone(t, pids)
	if !how.all {
		os.RemoveAll(dir)
		return
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", dir, err)
		os.RemoveAll(dir)
	}
}

// Whoever interrupts isolated tests ends all that they have started, mounted and made.
func TestInterruptedIsolationLeavesNothing(t *testing.T) {
	Root(t)
	for _, how := range interruptions {
		t.Run(how.name, func(t *testing.T) {
			cgroup := nomadCgroup(t)
			command := exec.Command("/proc/self/exe")
			command.Env = append(os.Environ(), victimVariable+"="+cgroup)
			interrupt(t, how, command)
			if _, err := os.Stat(filepath.Join(cgroup, "task")); how.all && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the task's cgroup is still there: %v", err)
			}
		})
	}
}

// So does whoever interrupts contained.sh.
func TestInterruptedContainerLeavesNothing(t *testing.T) {
	Root(t)
	for _, how := range interruptions {
		t.Run(how.name, func(t *testing.T) {
			interrupt(t, how, exec.Command("../contained.sh", "--", "sh", "-c",
				`mkdir $CONTAINED_DIR/made; mount -t tmpfs tmpfs $CONTAINED_DIR/made; (`+survivor+`) & echo ready $CONTAINED_DIR; wait`))
		})
	}
}

// A contained command has the script's input, and its status is the script's.
func TestContained(t *testing.T) {
	Root(t)
	for script, want := range map[string]struct {
		out  string
		code int
	}{
		"cat; exit 7":   {"input", 7},
		"kill -KILL $$": {"", 128 + 9},
		"grep -c '^SigIgn:.*0000$' /proc/self/status": {"1\n", 0},
	} {
		cmd := exec.Command("../contained.sh", "--", "sh", "-c", script)
		cmd.Stdin = strings.NewReader("input")
		out, err := cmd.Output()
		if cmd.ProcessState == nil {
			t.Fatal(err)
		}
		if code := cmd.ProcessState.ExitCode(); string(out) != want.out || code != want.code {
			t.Errorf("%s: %q, %d, want %q, %d", script, out, code, want.out, want.code)
		}
	}
}
