// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Instructions go to a supervisor through a socket, with the descriptors that it is to
// have: SCM_RIGHTS in unix(7). So it can be started before anybody knows for which task.

// mostPassed is how many descriptors a message can carry, SCM_MAX_FD of the kernel.
const mostPassed = 253

// errNoInstructions: whoever started a supervisor ended before it had a task for it.
var errNoInstructions = errors.New("no instructions came")

// newSocket returns the two ends of a connection: one for this process, in Go's poller,
// and one for a process that it starts.
func newSocket() (own, other *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair(2): %w", err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil { // what makes os.NewFile use the poller
		closeAll(fds[0], fds[1])
		return nil, nil, fmt.Errorf("fcntl(O_NONBLOCK): %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "supervisor"), os.NewFile(uintptr(fds[1]), "plugin"), nil
}

// sendMessage sends a message, and the descriptors with its first bytes.
func sendMessage(to *os.File, message []byte, files []int) error {
	if len(files) > mostPassed {
		return fmt.Errorf("%d descriptors are to be passed, at most %d can be", len(files), mostPassed)
	}
	raw, err := to.SyscallConn()
	if err != nil {
		return err
	}
	var sent int
	var failed error
	rights := unix.UnixRights(files...)
	err = raw.Write(func(fd uintptr) bool {
		sent, failed = unix.SendmsgN(int(fd), message, rights, nil, unix.MSG_NOSIGNAL)
		return !errors.Is(failed, unix.EAGAIN)
	})
	if err = errors.Join(err, failed); err != nil {
		return fmt.Errorf("sendmsg(2): %w", err)
	}
	if sent == len(message) {
		return nil // whoever has it may have closed its end: to write nothing is EPIPE then
	}
	_, err = to.Write(message[sent:])
	return err
}

// receiveInstructions waits for the instructions of this supervisor, and takes the
// descriptors to their places.
func receiveInstructions(from *os.File) (*instructions, error) {
	var length [lengthSize]byte
	files, err := receive(int(from.Fd()), length[:])
	if err != nil {
		return nil, err
	}
	in := &instructions{}
	if err := readBody(from, length, in); err != nil {
		return nil, err
	}
	if len(files) < len(fixedFDs) {
		return nil, fmt.Errorf("%d descriptors came with it, expected %d at least", len(files), len(fixedFDs))
	}
	for i, to := range fixedFDs {
		flags := unix.O_CLOEXEC
		if to == 0 {
			flags = 0 // as all programs have it
		}
		if err := unix.Dup3(files[i], to, flags); err != nil {
			return nil, fmt.Errorf("descriptor %d: dup3(2): %w", to, err)
		}
		unix.Close(files[i])
	}
	own, err := in.Inherited.received(files)
	if err != nil {
		return nil, err
	}
	in.Inherited = *own
	return in, nil
}

// receive fills data, and returns the descriptors that came with it.
func receive(fd int, data []byte) (files []int, err error) {
	control := make([]byte, unix.CmsgSpace(4*mostPassed))
	var n, controls, flags int
	for {
		n, controls, flags, _, err = unix.Recvmsg(fd, data, control, unix.MSG_CMSG_CLOEXEC|unix.MSG_WAITALL)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	switch {
	case errors.Is(err, unix.ECONNRESET), err == nil && n == 0:
		return nil, errNoInstructions
	case err != nil:
		return nil, fmt.Errorf("recvmsg(2): %w", err)
	case n < len(data):
		return nil, fmt.Errorf("its length: %w", io.ErrUnexpectedEOF)
	}
	if flags&unix.MSG_CTRUNC != 0 {
		return nil, errors.New("recvmsg(2): not all descriptors that were sent have come (MSG_CTRUNC): is the limit of open files too low?")
	}
	messages, err := syscall.ParseSocketControlMessage(control[:controls])
	if err != nil {
		return nil, fmt.Errorf("the descriptors that came: %w", err)
	}
	for i := range messages {
		rights, err := syscall.ParseUnixRights(&messages[i])
		if err != nil {
			return nil, fmt.Errorf("the descriptors that came: %w", err)
		}
		files = append(files, rights...)
	}
	return files, nil
}
