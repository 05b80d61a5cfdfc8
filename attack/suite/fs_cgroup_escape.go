// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Moves itself to the topmost cgroup, out of its limits.

package main

import "os"

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			err := errNothing
			for _, dir := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/pids", "/sys/fs/cgroup/memory"} {
				if err = os.WriteFile(dir+"/cgroup.procs", []byte("0"), 0); err == nil {
					return nil
				}
			}
			return err
		},
	})
}
