// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package kerneltest

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Process is one of this PID namespace: after [Isolate], an agent, or something
// it started.
type Process struct {
	PID  int
	Args []string // never empty
}

// Processes are all processes that have a command line.
func Processes() []Process {
	var all []Process
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		cmdline, err := os.ReadFile(dir + "/cmdline")
		if err != nil || len(cmdline) == 0 {
			continue
		}
		all = append(all, Process{pid, strings.Split(strings.TrimRight(string(cmdline), "\x00"), "\x00")})
	}
	return all
}

// Parent is the process's parent, 0 if it has ended: proc_pid_status(5).
func (p Process) Parent() (pid int) {
	status, _ := os.ReadFile("/proc/" + strconv.Itoa(p.PID) + "/status")
	_, after, _ := strings.Cut(string(status), "\nPPid:")
	if fields := strings.Fields(after); len(fields) > 0 {
		pid, _ = strconv.Atoi(fields[0])
	}
	return pid
}

// UnmountBeneath unmounts what is mounted in a directory: an agent leaves the
// mounts of its allocations.
func UnmountBeneath(dir string) {
	mounts, _ := os.ReadFile("/proc/self/mounts")
	lines := strings.Split(strings.TrimSpace(string(mounts)), "\n")
	for _, line := range slices.Backward(lines) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[1], dir+"/") {
			_ = unix.Unmount(fields[1], unix.MNT_DETACH)
		}
	}
}

// Bystander is a process of the host, none of the code under test, which ends with the test.
func Bystander(t testing.TB) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

// Lives reports whether a child of this process was not killed.
func Lives(cmd *exec.Cmd) bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, cmd.Process.Pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err == nil && info.Signo == 0
}
