// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Swaps a file for a link to a read-only root while another thread truncates it.

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run: func() error {
			file, link := fresh("race-file"), freshName("race-link")
			must(os.Symlink(readonly()+"/truncate", link))
			return whileSwapping(file, link, func() error {
				if err := unix.Truncate(file, 0); err != nil {
					return err
				}
				if info, err := os.Stat(readonly() + "/truncate"); err == nil && info.Size() == 0 {
					return nil
				}
				return errNothing
			})
		},
	})
}
