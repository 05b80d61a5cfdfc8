// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Identity names a process for as long as the machine runs: unlike a PID it is
// never given to another one.
type Identity struct {
	PID int `json:"pid"`
	// StartTime is in clock ticks since boot, proc_pid_stat(5) field 22.
	StartTime uint64 `json:"start_time"`
	// BootID is /proc/sys/kernel/random/boot_id.
	BootID string `json:"boot_id"`
}

// maxPID is more than any PID, PID_MAX_LIMIT of the kernel.
const maxPID = 1 << 22

// isBootID reports whether an ID has the form of those in /proc/sys/kernel/random/boot_id.
func isBootID(id string) bool {
	const form = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
	if len(id) != len(form) {
		return false
	}
	for i := range len(id) {
		hex := id[i] >= '0' && id[i] <= '9' || id[i] >= 'a' && id[i] <= 'f'
		if hex != (form[i] == 'x') || !hex && id[i] != '-' {
			return false
		}
	}
	return true
}

func (id *Identity) valid() error {
	switch {
	case id.PID <= 1 || id.PID > maxPID:
		return fmt.Errorf("%d is no PID of a process that was started, expected 2 to %d", id.PID, maxPID)
	case id.StartTime == 0:
		return fmt.Errorf("the start time of process %d is 0", id.PID)
	case !isBootID(id.BootID):
		return fmt.Errorf("the boot ID of process %d is %q, expected the form of /proc/sys/kernel/random/boot_id", id.PID, id.BootID)
	}
	return nil
}

// ErrGone is returned for a process that has ended.
var ErrGone = errors.New("the process has ended")

// identify names a process that exists now.
func identify(pid int) (Identity, error) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return Identity{}, err
	}
	start, err := startTime(stat)
	if err != nil {
		return Identity{}, fmt.Errorf("/proc/%d/stat: %w", pid, err)
	}
	return Identity{PID: pid, StartTime: start, BootID: BootID()}, nil
}

// startTime finds field 22 of a stat file.
func startTime(stat []byte) (uint64, error) { return statNumber(stat, 22) }

// statNumber finds a number in a stat file, proc_pid_stat(5).
func statNumber(stat []byte, field int) (uint64, error) {
	fields := statFields(stat)
	index := field - 3
	if len(fields) <= index {
		return 0, fmt.Errorf("%q has no field %d", stat, field)
	}
	return strconv.ParseUint(fields[index], 10, 64)
}

// statState is the state of a process, as 'Z' of one that has ended; 0 if it cannot
// be read.
func statState(stat []byte) byte {
	if fields := statFields(stat); len(fields) > 0 {
		return fields[0][0]
	}
	return 0
}

// statFields are those from field 3 on: the second, the program's name in
// parentheses, may hold anything.
func statFields(stat []byte) []string {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return nil
	}
	return strings.Fields(string(stat[end+1:]))
}

// ParentOf is the parent of a process, 0 if it has none here, proc_pid_stat(5).
func ParentOf(pid int) (int, error) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	parent, err := statNumber(stat, 4)
	return int(parent), err
}

// BootID is the kernel's name for the time since the last boot.
var BootID = sync.OnceValue(func() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "unknown" // no records of another boot will match
	}
	return strings.TrimSpace(string(id))
})

// process is a handle on a process that cannot come to mean another one.
type process struct {
	Identity
	fd *os.File // pidfd
}

// openProcess returns [ErrGone] if there is no such process any more.
func openProcess(id Identity) (*process, error) {
	if id.BootID != BootID() {
		return nil, ErrGone
	}
	fd, err := unix.PidfdOpen(id.PID, 0)
	// EINVAL, and ENOENT by newer kernels: a thread of another process has the number.
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		return nil, ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("pidfd_open(2) of process %d: %w", id.PID, err)
	}
	p := newProcess(id, fd)
	// The pidfd holds on to whichever process has the PID now: is it this one?
	now, err := identify(id.PID)
	if err != nil || now != id {
		p.close()
		return nil, ErrGone
	}
	return p, nil
}

// openSupervisor is openProcess for the supervisor of the task with this id, and
// for no other process, whatever a record says.
func openSupervisor(task string, id Identity) (*process, error) {
	if id == (Identity{}) {
		return nil, ErrGone // there was none yet
	}
	if err := id.valid(); err != nil {
		return nil, fmt.Errorf("the supervisor of task %q: %w", task, err)
	}
	p, err := openProcess(id)
	if err != nil {
		return nil, err
	}
	command, _ := os.ReadFile("/proc/" + strconv.Itoa(id.PID) + "/cmdline")
	if isSupervisor(command, task) {
		return p, nil
	}
	if len(command) == 0 && exits(id.PID) {
		// A process that exits loses its command line first, and the first of a PID namespace
		// ends only after all others of it: none of them may be able to end now.
		return p, nil
	}
	ended, wait := false, time.Duration(0)
	if len(command) == 0 || isSupervisor(command, readyID) {
		// One that waits for a task ends with the plugin that has started it.
		wait = exitTime
	}
	if err := p.withFD(func(fd int) (err error) { ended, err = readable(fd, wait); return err }); err == nil && ended {
		return p, nil // one that nobody has reaped has no command line
	}
	p.close()
	return nil, fmt.Errorf("process %d has the command line %q, expected the supervisor of task %q: this driver has not recorded that", id.PID, command, task)
}

// exits reports whether a process has begun to exit: PF_EXITING of the kernel's sched.h, in
// field 9 of its stat file.
func exits(pid int) bool {
	const exiting = 0x4
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	flags, err := statNumber(stat, 9)
	return err == nil && flags&exiting != 0
}

// newProcess takes a pidfd over. It waits in Go's poller, without a thread.
func newProcess(id Identity, fd int) *process {
	unix.CloseOnExec(fd)
	_ = unix.SetNonblock(fd, true) // what makes os.NewFile use the poller
	return &process{Identity: id, fd: os.NewFile(uintptr(fd), "pidfd")}
}

func (p *process) close() { p.fd.Close() }

// wait returns when the process has ended, and with it, if it is the first of
// a PID namespace, all others of the namespace. It reaps a child of ours.
func (p *process) wait() error {
	raw, err := p.fd.SyscallConn()
	if err != nil {
		return err
	}
	var pollErr error
	err = raw.Read(func(fd uintptr) bool {
		var ended bool
		ended, pollErr = readable(int(fd), 0)
		return ended || pollErr != nil
	})
	if err = errors.Join(err, pollErr); err != nil {
		return fmt.Errorf("waiting for process %d: %w", p.PID, err)
	}
	return p.withFD(func(fd int) error {
		err := unix.Waitid(unix.P_PIDFD, fd, nil, unix.WEXITED|unix.WNOHANG, nil)
		if errors.Is(err, unix.ECHILD) { // not ours: whoever is its parent reaps it
			return nil
		}
		return err
	})
}

// waitFor is wait, but for no longer than so much time: then it returns
// [os.ErrDeadlineExceeded]. There is one that waits for p.
func (p *process) waitFor(most time.Duration) error {
	if err := p.fd.SetReadDeadline(time.Now().Add(most)); err != nil {
		return fmt.Errorf("waiting for process %d: %w", p.PID, err)
	}
	defer func() { _ = p.fd.SetReadDeadline(time.Time{}) }()
	return p.wait()
}

// killTimeout is how long a process that was killed may take to end. One in state D takes
// as long as the disk or the network that it waits for, and so does the first process of
// its PID namespace.
const killTimeout = 5 * time.Second

// kill kills the process, and waits for its end.
func (p *process) kill() error {
	if err := p.signal(unix.SIGKILL); err != nil && !errors.Is(err, ErrGone) {
		return err
	}
	err := p.waitFor(killTimeout)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return p.notEnded()
	}
	return err
}

// discard is kill, and closes p. It reaps a child of ours whenever that ends.
func (p *process) discard() error {
	err := p.kill()
	if p.ended() {
		p.close()
		return err
	}
	go func() {
		_ = p.wait()
		p.close()
	}()
	return err
}

// notEnded is the error of a process that was killed and is still there.
func (p *process) notEnded() error {
	stat, _ := os.ReadFile("/proc/" + strconv.Itoa(p.PID) + "/stat")
	state := "unknown"
	if s := statState(stat); s != 0 {
		state = string(s)
	}
	return fmt.Errorf("process %d was killed, and has not ended within %v, its state is %s: it, or a process of its PID namespace, waits for a disk or a network (state D)", p.PID, killTimeout, state)
}

// exitTime is how long a process may take from losing its memory to its end.
const exitTime = time.Second

// readable reports whether a pidfd's process has ended, or ends in so much time,
// pidfd_open(2).
func readable(fd int, wait time.Duration) (bool, error) {
	for {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(wait.Milliseconds()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		return n > 0, err
	}
}

// ended reports whether the process has ended, or the pidfd is closed.
func (p *process) ended() bool {
	ended := true
	_ = p.withFD(func(fd int) (err error) { ended, err = readable(fd, 0); return err })
	return ended
}

// signal returns [ErrGone] if the process has ended.
func (p *process) signal(sig unix.Signal) error { return p.send(sig, nil) }

func (p *process) send(sig unix.Signal, info *unix.Siginfo) error {
	return p.withFD(func(fd int) error {
		err := unix.PidfdSendSignal(fd, sig, info, 0)
		if errors.Is(err, unix.ESRCH) {
			return ErrGone
		}
		if err != nil {
			return fmt.Errorf("sending %s to process %d: %w", unix.SignalName(sig), p.PID, err)
		}
		return nil
	})
}

// withFD keeps the descriptor open while f uses it.
func (p *process) withFD(f func(fd int) error) error {
	raw, err := p.fd.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}
