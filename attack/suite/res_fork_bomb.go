// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Starts processes without end.

package main

import (
	"fmt"
	"os/exec"
)

func init() {
	attack(Attack{
		Alone: true,
		Run: func() error {
			for n := range 3 * atInt("PIDS_LIMIT") {
				cmd := exec.Command("/bin/sleep", "1000")
				if err := cmd.Start(); err != nil {
					if n < 2 {
						return fmt.Errorf("only %d processes: %w", n, err)
					}
					return err
				}
			}
			return nil
		},
	})
}
