// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Lists all System V shared memory of the machine.

package main

import (
	"os"
	"strconv"
	"strings"
)

func init() {
	attack(Attack{
		Run: func() error {
			data, err := os.ReadFile("/proc/sysvipc/shm")
			if err == nil && !strings.Contains(string(data), strconv.Itoa(atInt("SHM_KEY"))) {
				return errNothing
			}
			return err
		},
	})
}
