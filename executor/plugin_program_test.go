// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// openTrue makes a carried program of true(1).
func openTrue(t *testing.T) (script []byte, fd int) {
	t.Helper()
	script, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	if fd, err = openProgram(bytes.NewReader(script)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return script, fd
}

// The carried program can be executed and read, and nobody can change it.
func TestProgramIsSealed(t *testing.T) {
	script, fd := openTrue(t)
	if fd < lowestProgramFD {
		t.Errorf("descriptor %d, expected at least %d: a child's own would take its place", fd, lowestProgramFD)
	}
	if err := exec.Command(fdPath(fd)).Run(); err != nil {
		t.Errorf("executing it: %v", err)
	}
	content, err := os.ReadFile(fdPath(fd))
	if err != nil || string(content) != string(script) {
		t.Errorf("it reads as %d bytes (%v), expected %d", len(content), err, len(script))
	}
	writable, err := unix.Open(fdPath(fd), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ETXTBSY) || errors.Is(err, unix.EPERM) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(writable)
	if _, err := unix.Write(writable, []byte("x")); !errors.Is(err, unix.EPERM) {
		t.Errorf("writing to it: %v, expected EPERM", err)
	}
	if err := unix.Ftruncate(writable, 0); !errors.Is(err, unix.EPERM) {
		t.Errorf("truncating it: %v, expected EPERM", err)
	}
}

// Whatever is open when a child is started, the program is executed.
func TestProgramIsNotInTheWay(t *testing.T) {
	_, fd := openTrue(t)
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(null)
	// The highest number that a child is given is just below the program's.
	highest, err := unix.FcntlInt(uintptr(null), unix.F_DUPFD_CLOEXEC, fd-1)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(highest)
	if highest != fd-1 {
		t.Skipf("descriptor %d is taken", fd-1)
	}
	attr := syscall.ProcAttr{Files: []uintptr{uintptr(null), uintptr(null), uintptr(highest)}}
	if pid, err := syscall.ForkExec(fdPath(fd), []string{"true"}, &attr); err == nil {
		_, _ = unix.Wait4(pid, nil, 0, nil)
		t.Error("syscall.ForkExec does not put anything in its place: what is this for?")
	}
	pid, err := executable{fdPath(fd), fd}.forkExec([]string{"true"}, attr)
	if err != nil {
		t.Fatal(err)
	}
	var ws unix.WaitStatus
	if _, err := unix.Wait4(pid, &ws, 0, nil); err != nil || ws.ExitStatus() != 0 {
		t.Errorf("status %v, %v", ws, err)
	}
}
