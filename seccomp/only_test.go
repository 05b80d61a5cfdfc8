// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package seccomp

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestOnlyKnowsItsCalls(t *testing.T) {
	if _, err := Compile(AMD64, Only(Admit("read", "raed")...)); err == nil {
		t.Error("a call that there is not was admitted")
	}
}

func TestOnly(t *testing.T) {
	socket := Rule{Syscall: "socket", Admit: []Args{{{Index: 0, Values: []uint32{unix.AF_INET}}}}}
	f := Only(append(Admit("read", "exit_group", "open"), socket)...)
	for _, arch := range []*Arch{AMD64, ARM64} {
		program, err := Compile(arch, f)
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range arch.table {
			for _, family := range []uint64{unix.AF_INET, unix.AF_UNIX} {
				got, err := program.Run(Data{Number: call.number, Arch: arch.Audit, Args: [6]uint64{family}})
				if err != nil {
					t.Fatal(err)
				}
				want := Errno(unix.EPERM)
				switch call.name {
				case "read", "exit_group", "open":
					want = Allow
				case "socket":
					if family == unix.AF_INET {
						want = Allow
					}
				}
				if got != want {
					t.Errorf("%s: %s(%d): %v, expected %v", arch.Name, call.name, family, got, want)
				}
			}
		}
		got, err := program.Run(Data{Number: 5000, Arch: arch.Audit})
		if err != nil || got != Errno(unix.ENOSYS) {
			t.Errorf("%s: an unknown number: %v (%v), expected %v", arch.Name, got, err, Errno(unix.ENOSYS))
		}
	}
}
