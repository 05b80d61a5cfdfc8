// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"os"

	"golang.org/x/sys/unix"
)

// stdio are the descriptors 0, 1 and 2 of a program.
type stdio [3]*os.File

func (s *stdio) close() {
	for _, f := range s {
		f.Close()
	}
}

// child is a program that was started. Who started it waits for it.
type child struct {
	pid   int // in the PID namespace that it was started from
	pidfd int
}

// abandon ends a child, and says why.
func (c *child) abandon(err error) error {
	_ = unix.Kill(c.pid, unix.SIGKILL)
	_, _ = unix.Wait4(c.pid, nil, 0, nil)
	unix.Close(c.pidfd)
	return err
}
