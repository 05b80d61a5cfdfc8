// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Runs a program from memory, that is in no file system.

package main

import (
	"os"
	"os/exec"
	"strconv"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Design: "execute rights are no integrity control: what a task may write, it may run, and it gains nothing by it",
		Run: func() error {
			self, err := os.ReadFile("/proc/self/exe")
			must(err)
			fd, err := unix.MemfdCreate("attack", 0)
			if err != nil {
				return err
			}
			_, err = unix.Write(fd, self)
			must(err)
			return exec.Command("/proc/self/fd/"+strconv.Itoa(fd), "identity").Run()
		},
	})
}
