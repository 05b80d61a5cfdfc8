// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Renames Nomad's directory of logs, and puts another one in its place.

package main

import (
	"os"
	"path/filepath"
)

func init() {
	attack(Attack{
		Run: func() error {
			moved := filepath.Dir(at("LOGS")) + "/logs-moved"
			if err := os.Rename(at("LOGS"), moved); err != nil {
				return err
			}
			return os.Rename(moved, at("LOGS"))
		},
		Sibling: func() error {
			from := freshName("dir")
			must(os.Mkdir(from, 0o777))
			return os.Rename(from, freshName("dir-moved"))
		},
	})
}
