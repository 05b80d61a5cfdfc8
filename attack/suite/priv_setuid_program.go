// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Runs a setuid program of root, which lies in a read-only root.

package main

import (
	"os"
	"os/exec"
	"strings"
)

func init() {
	attack(Attack{
		Run: func() error {
			if os.Getuid() == 0 { // nothing to gain
				return errNothing
			}
			return gains(at("SETUID"), "euid=0")
		},
		Sibling: func() error { return gains(at("SETUID"), "euid=") },
	})
}

// gains runs this program under another identity, and looks for what it says of it.
func gains(program, want string) error {
	out, err := exec.Command(program, "identity").Output()
	if err == nil && !strings.Contains(string(out), want) {
		return errNothing
	}
	return err
}
