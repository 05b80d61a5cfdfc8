// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package egress

import "os"

// Works returns why there can be no networks of hosts by name on this machine, nil if
// there can: it makes one, and lets go of it.
func Works() error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	network, err := Open(&Config{Reports: null})
	if err != nil {
		return err
	}
	network.Close()
	return nil
}
