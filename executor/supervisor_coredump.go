// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// dumpFilter is which parts of this process's memory are written to a core dump:
// coredump_filter of proc(5). A program that it executes inherits it.
type dumpFilter struct{ file *os.File }

// openDumpFilter is for a time when this process is dumpable: later, the file is
// root's.
func openDumpFilter() (dumpFilter, error) {
	file, err := os.OpenFile("/proc/self/coredump_filter", os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return dumpFilter{}, nil // a kernel without core dumps (CONFIG_ELF_CORE)
	}
	if err != nil {
		return dumpFilter{}, fmt.Errorf("opening the filter of core dumps: %w", err)
	}
	return dumpFilter{file}, nil
}

// apply has no memory written for a task whose limits say that there are no core
// dumps, and closes the filter.
//
// The limit alone does not do it: since Linux 6.16, core_pattern can name a socket,
// and the kernel connects to it whatever RLIMIT_CORE is. What it sends then are the
// registers, the names of files that are mapped, the beginning of the command line,
// and the vdso, which is the kernel's own. Under Landlock, a task cannot undo it:
// nothing in /proc can be written.
func (f dumpFilter) apply(c *Confinement) error {
	if f.file == nil {
		return nil
	}
	defer f.file.Close()
	if !c.withoutDumps() {
		return nil
	}
	if _, err := f.file.WriteString("0"); err != nil {
		return fmt.Errorf("setting the filter of core dumps to 0: %w", err)
	}
	return nil
}

// withoutDumps reports whether the limits leave a process no core dump, core(5).
func (c *Confinement) withoutDumps() bool {
	const none = 1 // of a byte: a dump that would be cut off is not begun
	return slices.ContainsFunc(c.Limits, func(l Limit) bool { return l.Resource == unix.RLIMIT_CORE && l.Hard <= none })
}
