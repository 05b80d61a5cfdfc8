// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// helper runs one of this program's helpers as another process, and returns
// its error.
func helper(args ...string) error { return runHelper(nil, args...) }

// namespaced runs a helper in new namespaces, as root of the user namespace.
func namespaced(name, arg string, flags uintptr) error {
	return runHelper(&syscall.SysProcAttr{
		Cloneflags:  flags,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}, name, arg)
}

func runHelper(attr *syscall.SysProcAttr, args ...string) error {
	cmd := exec.Command("/proc/self/exe", append([]string{"helper-errno"}, args...)...)
	cmd.SysProcAttr = attr
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Run()
	if number, found := strings.CutPrefix(strings.TrimSpace(stderr.String()), "errno "); found {
		if n, e := strconv.Atoi(number); e == nil {
			return syscall.Errno(n)
		}
	}
	if exited := new(exec.ExitError); errors.As(err, &exited) {
		if status := exited.Sys().(syscall.WaitStatus); status.Signaled() {
			return errors.New(unix.SignalName(status.Signal()))
		}
		return errors.New(strings.TrimSpace(stderr.String()))
	}
	return err
}

// helperErrno runs a helper, and prints the number of its error.
func helperErrno(args []string) error {
	err := helpers[args[0]](args[1:])
	if number := syscall.Errno(0); errors.As(err, &number) {
		return fmt.Errorf("errno %d", int(number))
	}
	return err
}

// identity prints who this process is: its effective IDs and capabilities.
func identity() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}
	fmt.Printf("euid=%d egid=%d ", os.Geteuid(), os.Getegid())
	for _, c := range []struct {
		number uint
		name   string
	}{{unix.CAP_DAC_READ_SEARCH, "dac_read_search"}, {unix.CAP_SYS_ADMIN, "sys_admin"}} {
		if data[0].Effective&(1<<c.number) != 0 {
			fmt.Print(c.name, " ")
		}
	}
	fmt.Println()
	return nil
}
