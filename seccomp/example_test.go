// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package seccomp_test

import (
	"errors"
	"fmt"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

// A thread that can ask for the host's name, and not set it.
func ExampleInstall() {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		done <- denySethostname()
	}()
	if err := <-done; err != nil {
		fmt.Println(err)
	}
}

func denySethostname() error {
	arch, err := seccomp.Native()
	if err != nil {
		return err
	}
	program, err := seccomp.Compile(arch, seccomp.Deny("sethostname"))
	if err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if err := seccomp.Install(program); err != nil {
		return err
	}
	if err := unix.Sethostname(nil); !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("sethostname(2): %w, expected EPERM", err)
	}
	return unix.Uname(new(unix.Utsname))
}

// The example of Install does what it says.
func TestExampleInstall(t *testing.T) {
	kerneltest.Seccomp(t)
	kerneltest.Thread(func() {
		if err := denySethostname(); err != nil {
			t.Error(err)
		}
	})
}

// A call is admitted if its arguments fulfill a condition: sockets of UNIX alone.
func ExampleIs() {
	filter := &seccomp.Filter{Rules: []seccomp.Rule{
		{Syscall: "socket", Errno: unix.EAFNOSUPPORT, Admit: []seccomp.Args{{seccomp.Is(0, unix.AF_UNIX)}}},
		{Syscall: "io_uring_setup", Errno: unix.ENOSYS}, // makes sockets past the filter
	}}
	for _, rule := range filter.Rules {
		fmt.Println(rule)
	}
	_, err := seccomp.Compile(seccomp.ARM64, filter)
	fmt.Println(err)
	// Output:
	// socket=EAFNOSUPPORT{arg0 is 0x1}
	// io_uring_setup=ENOSYS
	// <nil>
}
