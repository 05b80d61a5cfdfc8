// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Runs a file without permission to execute through the dynamic loader.

package main

import (
	"os"
	"os/exec"
	"path/filepath"
)

func init() {
	attack(Attack{
		Design: "execute rights are no integrity control: what a task may read, it may run, and it gains nothing by it",
		Run: func() error {
			loaders, _ := filepath.Glob("/lib64/ld-linux-*")
			more, _ := filepath.Glob("/lib/ld-linux-*")
			loaders = append(loaders, more...)
			if len(loaders) == 0 {
				return errNothing
			}
			data, err := os.ReadFile("/bin/true")
			must(err)
			file := freshName("noexec")
			must(os.WriteFile(file, data, 0o644))
			return exec.Command(loaders[0], file).Run()
		},
	})
}
