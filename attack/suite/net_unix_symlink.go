// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Connects to a UNIX socket of the host through a symbolic link in the workspace.

package main

import "os"

func init() {
	attack(Attack{
		Run: func() error {
			link := at("SECOND") + "/l" // a short name: sockets have room for 108 bytes
			must(os.Symlink(at("UNIX_PATH"), link))
			return fetch("unix", link)
		},
	})
}
