// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Raises the limit of processes of its own cgroup.

package main

import (
	"os"
	"strings"
)

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			data, err := os.ReadFile("/proc/self/cgroup")
			must(err)
			err = errNothing
			for line := range strings.Lines(string(data)) {
				parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
				for _, dir := range []string{"/sys/fs/cgroup/" + parts[1] + parts[2], "/sys/fs/cgroup" + parts[2]} {
					if _, e := os.Stat(dir); e != nil {
						continue
					}
					if err = os.Mkdir(dir+"/attack", 0o755); err == nil {
						return os.Remove(dir + "/attack")
					}
				}
			}
			return err
		},
	})
}
