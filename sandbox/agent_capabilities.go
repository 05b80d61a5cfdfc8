// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/plain"
)

// ownCapabilities are those that this process can give to a task, by number: it has
// them, and its bounding set does, capabilities(7). In a container, or a unit with
// CapabilityBoundingSet=, root has few.
func ownCapabilities() (uint64, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return 0, fmt.Errorf("capget(2): %w", err)
	}
	permitted := uint64(data[0].Permitted) | uint64(data[1].Permitted)<<32
	for n := range capabilityNames {
		// An error is a capability that this kernel does not have.
		bounded, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(n), 0, 0, 0)
		if err != nil || bounded != 1 {
			permitted &^= 1 << n
		}
	}
	return permitted, nil
}

// checkOwnCapabilities refuses capabilities that the agent itself lacks.
func checkOwnCapabilities(granted []int) error {
	if len(granted) == 0 {
		return nil
	}
	own, err := ownCapabilities()
	if err != nil {
		return fmt.Errorf("cap_add: %w", err)
	}
	return withinCapabilities(granted, own)
}

func withinCapabilities(granted []int, own uint64) error {
	var lacking []string
	for _, n := range granted {
		if own&(1<<n) == 0 {
			lacking = append(lacking, capabilityNames[n])
		}
	}
	if len(lacking) == 0 {
		return nil
	}
	return fmt.Errorf("cap_add: the Nomad agent itself lacks %s: leave it out, or give it to the agent (its container's capabilities, or CapabilityBoundingSet= of its unit; a kernel can also be too old for it)", plain.Names(lacking))
}
