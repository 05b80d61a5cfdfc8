// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package kerneltest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// isolateVariable says how far this process is into namespaces of its own.
const isolateVariable = "HARN_KERNELTEST_ISOLATED"

// Isolate runs the tests of this binary in mount, PID, IPC and network
// namespaces of their own, so that nothing that they mount, start or listen on
// touches the host, and all of it is gone with them. Without root, it does
// nothing. Call it first in TestMain.
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

func enterNamespaces() (int, error) {
	// The one thing that namespaces do not take along.
	before := nomadCgroups()
	defer func() {
		for _, dir := range nomadCgroups() {
			if !slices.Contains(before, dir) {
				removeCgroup(dir)
			}
		}
	}()
	err := again("init", unix.CLONE_NEWNS|unix.CLONE_NEWPID|unix.CLONE_NEWIPC|unix.CLONE_NEWNET).Run()
	if exited := new(exec.ExitError); errors.As(err, &exited) {
		return exited.ExitCode(), nil
	}
	return 0, err
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

// removeCgroup removes an empty cgroup with those in it.
func removeCgroup(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		if entry.IsDir() {
			removeCgroup(filepath.Join(dir, entry.Name()))
		}
	}
	_ = unix.Rmdir(dir)
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
