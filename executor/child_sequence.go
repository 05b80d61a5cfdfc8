// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/executor/vfork"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
)

// sequence is what a child does between its birth and its program: system calls,
// each a part of a step.
type sequence struct {
	calls []vfork.Call
	of    []uint16 // the step of each call
	steps []step
	// nothing is what to say if the program was found nowhere.
	nothing string
	// born, if not nil, takes a pidfd of the child as soon as there is one: the
	// kernel writes it, while this thread waits for the child to execute.
	born *int32
	memory
}

// step says what a few calls do: the format and its arguments, which only an error
// has put together.
type step struct {
	format string
	args   []any
	// each says which argument of the call, from 1 on, is one of the format's, behind
	// args. 0 is none.
	each int
	// without is what to say if a call works that must fail, or does not say what
	// it must.
	without string
	hint    func(error) string // what to do about an error; may be nil
}

// memory keeps what system calls are given the addresses of, and keeps it on the
// heap, where it stays in its place: of numbers the garbage collector knows nothing.
type memory []any

// address returns the address of a value in memory that lasts as long as m, and is
// not moved.
func address[T any](m *memory, value T) uintptr {
	kept := new(T)
	*kept = value
	*m = append(*m, kept)
	return uintptr(unsafe.Pointer(kept))
}

// text is the address of a string as C has it. The kernel takes none with a null
// byte in it.
func (m *memory) text(s string) (uintptr, error) {
	p, err := unix.BytePtrFromString(s)
	if err != nil {
		return 0, fmt.Errorf("%s has a null byte in it: %w", plain.Quote(s), err)
	}
	*m = append(*m, p)
	return uintptr(unsafe.Pointer(p)), nil
}

// texts is the address of a list of strings, which ends with a null pointer.
func (m *memory) texts(list []string) (uintptr, error) {
	pointers := make([]uintptr, len(list)+1)
	for i, s := range list {
		var err error
		if pointers[i], err = m.text(s); err != nil {
			return 0, err
		}
	}
	*m = append(*m, pointers)
	return uintptr(unsafe.Pointer(&pointers[0])), nil
}

// begin says what the calls that are added from now on do.
func (s *sequence) begin(format string, args ...any) *step {
	s.steps = append(s.steps, step{format: format, args: args})
	return &s.steps[len(s.steps)-1]
}

// usualLength is somewhat more than the calls of most starts: to be copied as they
// grow in number would take a supervisor more memory than all else here.
const usualLength = 160

// call adds a system call. What is returned can be changed until the next one is
// added.
func (s *sequence) call(number uintptr, args ...uintptr) *vfork.Call {
	if s.calls == nil {
		s.calls, s.of = make([]vfork.Call, 0, usualLength), make([]uint16, 0, usualLength)
	}
	c := vfork.Call{Number: number}
	copy(c.Args[:], args)
	s.calls, s.of = append(s.calls, c), append(s.of, uint16(len(s.steps)-1))
	return &s.calls[len(s.calls)-1]
}

// tolerate has a call succeed with these errors as well.
func tolerate(c *vfork.Call, errs ...unix.Errno) {
	for i, err := range errs {
		c.Tolerated[i] = vfork.Errno(err)
	}
}

// bornInMemory are the flags of clone(2) for a child that shares this process's
// memory until it executes its program.
const bornInMemory = unix.CLONE_VM | unix.CLONE_VFORK | unix.CLONE_PIDFD

// expect has a call fail unless what it writes to got, which was kept by
// [address] as want was, is the same as want.
func expect(c *vfork.Call, got, want unsafe.Pointer, size uintptr) {
	c.Got, c.Want, c.Size = got, want, size
}

// run makes a child that makes the calls, born in a cgroup of v2 if that is not
// notOpen. proc is a descriptor of a /proc in which the child can be seen.
func (s *sequence) run(cgroup, proc int) (*child, error) {
	c, err := s.bear(cgroup)
	if err != nil {
		return nil, err
	}
	// Parents are also woken if the child is killed.
	if err := c.executed(proc); err != nil {
		return nil, c.abandon(err)
	}
	return c, nil
}

// bear is run for who does not ask whether the child has executed its program, or was
// killed before.
func (s *sequence) bear(cgroup int) (*child, error) {
	pidfd := s.born
	if pidfd == nil {
		pidfd = new(int32)
	}
	s.memory = append(s.memory, pidfd)
	number, how := uintptr(unix.SYS_CLONE), [3]uintptr{bornInMemory | uintptr(unix.SIGCHLD), 0, uintptr(unsafe.Pointer(pidfd))}
	if cgroup != notOpen {
		args := cloneArgs{
			flags: bornInMemory | unix.CLONE_INTO_CGROUP, exitSignal: uint64(unix.SIGCHLD),
			pidfd: uint64(how[2]), cgroup: uint64(cgroup),
		}
		number, how = unix.SYS_CLONE3, [3]uintptr{address(&s.memory, args), unsafe.Sizeof(args), 0}
	}
	syscall.ForkLock.Lock()
	pid, errno, failure := vfork.Run(number, how[0], how[1], how[2], s.calls)
	syscall.ForkLock.Unlock()
	runtime.KeepAlive(s.memory)
	if errno != 0 {
		return nil, fmt.Errorf("clone(2): %w", unix.Errno(errno))
	}
	c := &child{pid: pid, pidfd: int(*pidfd)}
	if failure != nil {
		return nil, c.abandon(s.explain(failure))
	}
	return c, nil
}

// cloneArgs is struct clone_args, clone(2).
type cloneArgs struct {
	flags, pidfd uint64
	_            [2]uint64 // child_tid, parent_tid
	exitSignal   uint64
	_            [5]uint64 // stack, stack_size, tls, set_tid, set_tid_size
	cgroup       uint64
}

// explain says what a child did not get past.
func (s *sequence) explain(f *vfork.Failure) error {
	if f.Call == len(s.calls) {
		return &CommandError{NotFound, s.nothing}
	}
	step := &s.steps[s.of[f.Call]]
	args := step.args
	if step.each != 0 {
		args = append(slices.Clone(args), s.calls[f.Call].Args[step.each-1])
	}
	what, err := fmt.Sprintf(step.format, args...), error(unix.Errno(f.Errno))
	switch {
	case s.calls[f.Call].Last:
		code := NotExecutable
		if errors.Is(err, unix.ENOENT) {
			code = NotFound
		}
		reason := fmt.Sprintf("%s: %v", what, err)
		if step.hint != nil {
			reason += step.hint(err)
		}
		return &CommandError{code, reason}
	case f.Errno == 0:
		return errors.New(what + step.without)
	case step.hint != nil:
		return fmt.Errorf("%s: %w%s", what, err, step.hint(err))
	}
	return fmt.Errorf("%s: %w", what, err)
}
