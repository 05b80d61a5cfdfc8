// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

// tableAbout describes the attacks of this file.
var tableAbout = map[string]string{}

// Every system call that a group denies whatever its arguments is also made
// one by one, with arguments that are no good: the kernel must refuse the call
// itself (EPERM, or ENOSYS), not its arguments. So a group cannot name a call
// that the filter lets through. The control shows that the kernel has the call.
func init() {
	arch, err := seccomp.Native()
	if err != nil {
		return
	}
	network := map[string]bool{}
	for _, entry := range seccomp.Network.Entries {
		network[entry.Syscall] = true
	}
	for _, group := range []*seccomp.Group{seccomp.Baseline, seccomp.Always, seccomp.Network, seccomp.Hardened} {
		for _, entry := range group.Entries {
			number, known := arch.Number(entry.Syscall)
			name := "call_" + entry.Syscall
			if !known || len(entry.Admit) > 0 || tableAbout[name] != "" {
				continue
			}
			a := Attack{Root: true, Run: func() error { return badCall(uintptr(number)) }}
			switch {
			case group == seccomp.Hardened:
				a.DesignWorktree = "not on Harn's list: os_hardened denies it"
			case slices.Contains(seccomp.UnixOnly.Names(), entry.Syscall), slices.Contains(seccomp.LocalIPC.Names(), entry.Syscall):
				const unixSockets = 9 // from which on Landlock mediates them
				a.Network, a.LocalABI = true, unixSockets
			case network[entry.Syscall]:
				a.Network, a.Local = true, true
			}
			named(name, a)
			tableAbout[name] = "Calls " + entry.Syscall + ", which " + entry.Why + "."
		}
	}
}

func badCall(number uintptr) error {
	const bad = ^uintptr(0)
	err := do(number, bad, bad, bad, bad, bad, bad)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) {
		return err
	}
	return nil
}
