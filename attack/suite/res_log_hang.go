// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Stops its output in the middle of a line, and keeps the FIFO of the log open in a daemon.

package main

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Alone: true,
		Run: func() error {
			_, err := unix.Write(1, []byte("half a line"))
			must(err)
			cmd := exec.Command("/bin/sleep", "4243")
			cmd.Stdout = os.Stdout
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			return cmd.Start()
		},
	})
}
