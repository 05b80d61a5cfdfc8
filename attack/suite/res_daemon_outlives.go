// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Leaves a daemon behind, that is to outlive the task.

package main

import (
	"os/exec"
	"syscall"
)

func init() {
	attack(Attack{
		Alone: true,
		Run: func() error {
			cmd := exec.Command("/bin/sleep", "4242")
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			return cmd.Start()
		},
	})
}
