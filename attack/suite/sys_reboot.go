// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Stops the machine.

package main

import (
	"syscall"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			if at("CONTROL") == "1" { // only the PID namespace that it makes
				err := runHelper(&syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}, "reboot")
				if err != nil && err.Error() == "SIGHUP" {
					return nil
				}
				return err
			}
			// In a PID namespace, the kernel knows no such command; without the right, it says EPERM before.
			return reached(unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF), unix.EINVAL)
		},
	})
}

func init() {
	helpers["reboot"] = func([]string) error { return unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART) }
}
