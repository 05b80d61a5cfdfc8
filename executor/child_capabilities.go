// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/executor/vfork"
)

// capabilitySet turns numbers into a set: bit n is capability n.
func capabilitySet(numbers []int) (set uint64) {
	for _, n := range numbers {
		set |= 1 << n
	}
	return set
}

// lastCapability is above all that any kernel knows.
const lastCapability = 63

// reduceBoundingSet drops all others from the capability bounding set,
// capabilities(7). Without privileges that fails, and no_new_privs has to do: it
// keeps exec from using the set.
func reduceBoundingSet(s *sequence, keep uint64, unprivileged bool) {
	s.begin("dropping capability %d from the bounding set").each = 2
	for capability := uintptr(0); capability <= lastCapability; capability++ {
		if keep&(1<<capability) != 0 {
			continue
		}
		drop := s.call(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, capability)
		if capability > 0 {
			tolerate(drop, unix.EINVAL) // past the last one that the kernel knows
		}
		if unprivileged {
			drop.Tolerated[1] = vfork.Errno(unix.EPERM)
		}
	}
}

// setCapabilities makes the set the effective, permitted, inheritable and
// ambient one. Only the ambient set passes the exec of an ordinary program, and
// what is in it must be in the others.
func setCapabilities(s *sequence, set uint64) {
	s.begin("clearing the ambient capabilities")
	s.call(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL)
	low, high := uint32(set), uint32(set>>32)
	s.begin("setting the capabilities to %#x", set)
	s.call(unix.SYS_CAPSET,
		address(&s.memory, unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}),
		address(&s.memory, [2]unix.CapUserData{
			{Effective: low, Permitted: low, Inheritable: low},
			{Effective: high, Permitted: high, Inheritable: high},
		}))
	got, want := new([2]unix.CapUserData), &[2]unix.CapUserData{
		{Effective: low, Permitted: low, Inheritable: low},
		{Effective: high, Permitted: high, Inheritable: high},
	}
	s.memory = append(s.memory, got, want)
	s.begin("reducing the capabilities to %#x", set).without = ": the kernel left others"
	call := s.call(unix.SYS_CAPGET,
		address(&s.memory, unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}), uintptr(unsafe.Pointer(got)))
	expect(call, unsafe.Pointer(got), unsafe.Pointer(want), unsafe.Sizeof(*got))
	s.begin("raising the ambient capability %d").each = 3
	for capability := range uintptr(lastCapability + 1) {
		if set&(1<<capability) != 0 {
			s.call(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, capability)
		}
	}
}
