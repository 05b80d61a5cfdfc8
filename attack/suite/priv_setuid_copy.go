// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes its own program in the workspace setuid, for the next task or a user of the host to run.

package main

import (
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			data, err := os.ReadFile("/proc/self/exe")
			must(err)
			file := freshName("setuid")
			must(os.WriteFile(file, data, 0o755))
			if err := unix.Chmod(file, 0o4755); err != nil {
				return err
			}
			if os.Getuid() == 0 { // owned by root already: it must not gain anything by it
				return gainsFrom(file)
			}
			return gains(file, "euid=0")
		},
	})
}

// gainsFrom runs a setuid program as nobody.
func gainsFrom(file string) error {
	cmd := exec.Command(file, "identity")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534, NoSetGroups: true}}
	out, err := cmd.Output()
	if err == nil && !strings.Contains(string(out), "euid=0") {
		return errNothing
	}
	return err
}
