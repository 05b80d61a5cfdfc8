// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package seccomp

import (
	"fmt"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Arch is an architecture's system call interface.
type Arch struct {
	// Name is Go's name of the architecture (GOARCH).
	Name string
	// Audit is the AUDIT_ARCH_* value that the kernel gives to filters.
	Audit uint32
	// ForeignFrom is the first number of a second interface under the same
	// Audit value (x32 on amd64). 0 means that there is none.
	ForeignFrom uint32

	table []syscallNumber // sorted by name
}

type syscallNumber struct {
	name   string
	number uint32
}

// The architectures that the driver runs on.
var (
	AMD64 = &Arch{Name: "amd64", Audit: unix.AUDIT_ARCH_X86_64, ForeignFrom: x32Bit, table: syscallsAMD64}
	ARM64 = &Arch{Name: "arm64", Audit: unix.AUDIT_ARCH_AARCH64, table: syscallsARM64}
)

// x32Bit is __X32_SYSCALL_BIT of asm/unistd.h.
const x32Bit = 0x40000000

// Native returns the architecture that this program was built for.
func Native() (*Arch, error) {
	for _, a := range []*Arch{AMD64, ARM64} {
		if a.Name == runtime.GOARCH {
			return a, nil
		}
	}
	return nil, fmt.Errorf("seccomp: no system call table for %s, expected amd64 or arm64", runtime.GOARCH)
}

// Number returns the number of a system call, false if the architecture does
// not have it.
func (a *Arch) Number(name string) (uint32, bool) {
	i, ok := slices.BinarySearchFunc(a.table, name, func(s syscallNumber, name string) int {
		return strings.Compare(s.name, name)
	})
	if !ok {
		return 0, false
	}
	return a.table[i].number, true
}

// Syscall returns the name of a system call, its number if it has none.
func (a *Arch) Syscall(number uint32) string {
	for _, s := range a.table {
		if s.number == number {
			return s.name
		}
	}
	return fmt.Sprintf("syscall %d", number)
}

// numbers returns the numbers of all system calls in ascending order.
func (a *Arch) numbers() []uint32 {
	numbers := make([]uint32, len(a.table))
	for i, s := range a.table {
		numbers[i] = s.number
	}
	slices.Sort(numbers)
	return numbers
}

// known reports whether any architecture has a system call of that name.
func known(name string) bool {
	_, amd := AMD64.Number(name)
	_, arm := ARM64.Number(name)
	return amd || arm
}
