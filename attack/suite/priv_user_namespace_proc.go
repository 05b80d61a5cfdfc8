// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Mounts a new /proc without hidepid and without masks in user, mount and PID namespaces of its own.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error {
			return namespaced("mount-proc", at("WORKSPACE"), unix.CLONE_NEWUSER|unix.CLONE_NEWNS|unix.CLONE_NEWPID)
		},
	})
}

func init() {
	helpers["mount-proc"] = func(args []string) error { return unix.Mount("proc", args[0], "proc", 0, "") }
}
