// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Swaps a directory for a link to the outside while another thread links a file of it into the workspace.

package main

import "os"

func init() {
	attack(Attack{
		Run: func() error {
			dir, link, target := freshName("race-dir"), freshName("race-link"), freshName("race-target")
			must(os.Mkdir(dir, 0o777))
			must(os.WriteFile(dir+"/secret", []byte("own"), 0o666))
			must(os.Symlink(outside(), link))
			return whileSwapping(dir, link, func() error {
				_ = os.Remove(target)
				if err := os.Link(dir+"/secret", target); err != nil {
					return err
				}
				return readSecret(target)
			})
		},
	})
}
