// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Reads a file outside of every root by ".." from /proc/self/cwd.

package main

import (
	"os"
	"path/filepath"
	"strings"
)

func init() {
	attack(Attack{
		Run: func() error {
			must(os.Chdir(at("WORKSPACE")))
			return readSecret("/proc/self/cwd/" + strings.Repeat("../", 20) + secret())
		},
		Sibling: func() error {
			must(os.Chdir(at("WORKSPACE")))
			return readSecret("/proc/self/cwd/" + filepath.Base(workspaceFile()))
		},
	})
}
