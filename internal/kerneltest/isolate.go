// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package kerneltest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// isolateVariable says how far this process is into namespaces of its own.
	isolateVariable = "HARN_KERNELTEST_ISOLATED"
	// scratchVariable is the directory that ends with the namespaces.
	scratchVariable = "HARN_KERNELTEST_SCRATCH"
)

// interrupts are the signals by which people end what runs too long.
var interrupts = []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP}

// Isolate runs the tests of this binary in mount, PID, IPC and network
// namespaces of their own, so that nothing that they mount, start or listen on
// touches the host, and all of it is gone with them: also if they are interrupted.
// Without root, it does nothing. Call it first in TestMain.
func Isolate() {
	switch {
	case os.Geteuid() != 0 || os.Getenv(isolateVariable) == "tests":
		return
	case os.Getenv(isolateVariable) == "init":
		exit(initNamespaces)
	default:
		exit(enterNamespaces)
	}
}

func exit(f func() (int, error)) {
	code, err := f()
	if err != nil {
		fmt.Fprintln(os.Stderr, "isolating the tests:", err)
		code = 1
	}
	os.Exit(code)
}

func again(stage string, flags uintptr) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), isolateVariable+"="+stage)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
	return cmd
}

// Scratch is a directory on a disk, which others can search, for what shall be gone after
// the tests even if they are interrupted and clean nothing up. It is not in /tmp, of which
// tasks have a private version, and its name is short: UNIX sockets lie beneath, whose
// paths have 107 bytes at most.
func Scratch() string {
	if dir := os.Getenv(scratchVariable); dir != "" {
		return dir
	}
	return "/var/tmp"
}

// enterNamespaces is the process that remains outside. It ends all that is inside when
// somebody interrupts it, and removes what namespaces do not take along.
func enterNamespaces() (code int, err error) {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, interrupts...)
	before := nomadCgroups()
	scratch, err := makeScratch("/var/tmp")
	if err != nil {
		return 0, err
	}
	defer func() {
		for _, dir := range nomadCgroups() {
			if !slices.Contains(before, dir) {
				removeCgroup(dir)
			}
		}
		if left := os.RemoveAll(scratch); left != nil && err == nil {
			err = left
		}
	}()
	cmd := again("init", unix.CLONE_NEWNS|unix.CLONE_NEWPID|unix.CLONE_NEWIPC|unix.CLONE_NEWNET)
	cmd.Env = append(cmd.Env, scratchVariable+"="+scratch)
	// The namespaces end with this process, however it ends. The kernel means the thread
	// by that: it is this one until the end.
	runtime.LockOSThread()
	cmd.SysProcAttr.Pdeathsig = unix.SIGKILL
	// A terminal interrupts all processes of a group at once, and this one shall see the
	// others before they have ended.
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case by := <-interrupted:
		left := cgroupsBelow(cmd.Process.Pid)
		_ = cmd.Process.Kill() // and so all that is in its PID namespace
		<-ended                //nolint:errcheck // it was killed
		for _, dir := range left {
			removeCgroup(dir)
		}
		return 128 + int(by.(syscall.Signal)), nil
	case err = <-ended:
	}
	if exited := new(exec.ExitError); errors.As(err, &exited) {
		return exited.ExitCode(), nil
	}
	return 0, err
}

// makeScratch makes a directory with a short name.
func makeScratch(parent string) (string, error) {
	for n := os.Getpid(); ; n++ {
		dir := fmt.Sprintf("%s/harn-%d", parent, n)
		if err := os.Mkdir(dir, 0o711); !errors.Is(err, os.ErrExist) {
			return dir, err
		}
	}
}

// initNamespaces is process 1: it sets the namespaces up, starts the tests and
// reaps whatever else ends.
func initNamespaces() (int, error) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return 0, fmt.Errorf("making mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return 0, fmt.Errorf("mounting /proc: %w", err)
	}
	if err := loopbackUp(); err != nil {
		return 0, fmt.Errorf("setting the loopback interface up: %w", err)
	}
	cmd := again("tests", 0)
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, 0, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, err
		}
		if pid == cmd.Process.Pid {
			if ws.Signaled() {
				return 128 + int(ws.Signal()), nil
			}
			return ws.ExitStatus(), nil
		}
	}
}

// nomadCgroups are the parents of a Nomad client's cgroups, of both versions.
func nomadCgroups() []string {
	v1, _ := filepath.Glob("/sys/fs/cgroup/*/nomad")
	v2, _ := filepath.Glob("/sys/fs/cgroup/nomad.slice")
	return append(v1, v2...)
}

// cgroupsBelow are the cgroups of a Nomad client's tasks that descendants of a process are in.
func cgroupsBelow(pid int) (dirs []string) {
	within := map[int]bool{pid: true}
	for grown := true; grown; {
		grown = false
		for _, p := range Processes() {
			if !within[p.PID] && within[p.Parent()] {
				within[p.PID], grown = true, true
			}
		}
	}
	for pid := range within {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		for line := range strings.Lines(string(text)) {
			_, path, _ := strings.Cut(strings.TrimSpace(line), ":/nomad") // as the controllers' names have no slash
			if path == "" {
				continue
			}
			v1, _ := filepath.Glob("/sys/fs/cgroup/*/nomad" + path)
			v2, _ := filepath.Glob("/sys/fs/cgroup/nomad" + path)
			dirs = append(dirs, append(v1, v2...)...)
		}
	}
	return dirs
}

// removeCgroup removes an empty cgroup with those in it. One whose processes have just
// been killed can be busy for a moment.
func removeCgroup(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		if entry.IsDir() {
			removeCgroup(filepath.Join(dir, entry.Name()))
		}
	}
	for range 100 {
		if !errors.Is(unix.Rmdir(dir), unix.EBUSY) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// loopbackUp is "ip link set lo up", netdevice(7).
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var request struct {
		name  [unix.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}
	copy(request.name[:], "lo")
	request.flags = unix.IFF_UP | unix.IFF_RUNNING
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return errno
	}
	return nil
}
