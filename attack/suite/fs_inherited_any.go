// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Finds any descriptor above 2 that it did not open itself.

package main

import (
	"os"
	"strconv"
	"strings"
)

func init() {
	attack(Attack{
		Run: func() error {
			for fd := 3; fd < 1024; fd++ {
				link, err := os.Readlink("/proc/" + strconv.Itoa(os.Getppid()) + "/fd/" + strconv.Itoa(fd))
				if err == nil && !strings.HasPrefix(link, at("SECOND")) && !strings.HasPrefix(link, "anon_inode:") && !strings.HasPrefix(link, "pipe:") && !strings.HasPrefix(link, "/dev/null") && !strings.HasPrefix(link, "/proc/") && !strings.HasPrefix(link, "/sys/fs/cgroup") {
					return nil
				}
			}
			return errNothing
		},
	})
}
