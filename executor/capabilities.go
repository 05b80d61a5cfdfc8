// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// capabilitySet turns numbers into a set: bit n is capability n.
func capabilitySet(numbers []int) (set uint64) {
	for _, n := range numbers {
		set |= 1 << n
	}
	return set
}

// reduceBoundingSet drops all others from the capability bounding set,
// capabilities(7).
func reduceBoundingSet(keep uint64) error {
	for capability := uintptr(0); ; capability++ {
		if keep&(1<<capability) != 0 {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) && capability > 0 {
			return nil // past the last one that the kernel knows
		}
		if err != nil {
			return fmt.Errorf("dropping capability %d from the bounding set: %w", capability, err)
		}
	}
}

// setCapabilities makes the set the effective, permitted, inheritable and
// ambient one. Only the ambient set passes the exec of an ordinary program, and
// what is in it must be in the others.
func setCapabilities(set uint64) error {
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("clearing the ambient capabilities: %w", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	low, high := uint32(set), uint32(set>>32)
	data := [2]unix.CapUserData{
		{Effective: low, Permitted: low, Inheritable: low},
		{Effective: high, Permitted: high, Inheritable: high},
	}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("setting the capabilities to %#x: %w", set, err)
	}
	for capability := range uintptr(64) {
		if set&(1<<capability) == 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, capability, 0, 0); err != nil {
			return fmt.Errorf("raising the ambient capability %d: %w", capability, err)
		}
	}
	return nil
}
