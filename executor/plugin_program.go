// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// self is the binary that is running, even if its file was replaced.
const self = "/proc/self/exe"

// carried is what SetProgram was given.
var carried io.Reader

// SetProgram has supervisors, sessions and probes run this program, which must
// be that of executor/image/program, instead of the binary that is running: it
// starts in a third of the time. To be called before all else, if at all.
func SetProgram(program io.Reader) { carried = program }

// executable is a program to start.
type executable struct {
	path string
	fd   int // that path goes by; notOpen if it goes by none
}

// program is what to execute.
var program = sync.OnceValue(func() executable {
	if carried != nil {
		if fd, err := openProgram(carried); err == nil {
			return executable{fdPath(fd), fd}
		}
		// Where the operator has forbidden such files, sysctl vm.memfd_noexec.
	}
	return executable{self, notOpen}
})

// forkExec is syscall.ForkExec for a program that is executed by a descriptor. In
// the child, ForkExec moves a pipe of its own, and what is in the way, to numbers
// above the highest that it is given, whatever is there. So it is given one above
// the program's.
func (e executable) forkExec(args []string, attr syscall.ProcAttr) (pid int, err error) {
	if e.fd != notOpen && len(attr.Files) > 0 {
		last := len(attr.Files) - 1
		above, err := unix.FcntlInt(attr.Files[last], unix.F_DUPFD_CLOEXEC, e.fd+1)
		if err != nil {
			return 0, fmt.Errorf("duplicating descriptor %d: %w", attr.Files[last], err)
		}
		defer unix.Close(above)
		attr.Files = append(slices.Clone(attr.Files[:last]), uintptr(above))
	}
	return syscall.ForkExec(e.path, args, &attr)
}

// openProgram makes an executable file of a program, in memory and sealed:
// nobody changes it, and no mount option or full disk stands in its way.
// memfd_create(2), F_ADD_SEALS in fcntl(2).
func openProgram(program io.Reader) (int, error) {
	const name, flags = "nomad-driver-harn", unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate(name, flags|unix.MFD_EXEC)
	if err != nil { // before Linux 6.3 there is no such flag, and all are executable
		fd, err = unix.MemfdCreate(name, flags)
	}
	if err != nil {
		return -1, fmt.Errorf("memfd_create(2) for the executor's program: %w", err)
	}
	defer unix.Close(fd)
	buffer := make([]byte, 128<<10) // never all of it at once: each page would cost as much again
	if _, err := io.CopyBuffer(descriptor(fd), program, buffer); err != nil {
		return -1, fmt.Errorf("writing the executor's program: %w", err)
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return -1, fmt.Errorf("sealing the executor's program: %w", err)
	}
	// Open for writing, a file cannot be executed.
	readOnly, err := unix.Open(fdPath(fd), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("opening the executor's program: %w", err)
	}
	defer unix.Close(readOnly)
	return unix.FcntlInt(uintptr(readOnly), unix.F_DUPFD_CLOEXEC, lowestProgramFD)
}

// descriptor writes to a descriptor.
type descriptor int

func (d descriptor) Write(p []byte) (written int, err error) {
	for written < len(p) {
		n, err := unix.Write(int(d), p[written:])
		if err != nil {
			return written, err
		}
		written += n
	}
	return written, nil
}

// lowestProgramFD is above all descriptors that children are given, which would
// take its place before it is executed.
const lowestProgramFD = 120

// ExecProgram becomes a program that the binary carries, as if it had been executed
// in its place. It returns if that is not possible.
func ExecProgram(program io.Reader, args, environment []string) error {
	fd, err := openProgram(program)
	if err != nil {
		return err
	}
	return unix.Exec(fdPath(fd), args, environment)
}
