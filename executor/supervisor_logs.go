// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Logs says how a supervisor keeps what its task writes to descriptors 1 and 2:
// in files NAME.stdout.0, NAME.stdout.1 and so on, and the like for stderr,
// which is how Nomad's logmon names them and where "nomad alloc logs" looks.
type Logs struct {
	Task string `json:"task"` // NAME
	// MaxFiles is how many files there are of each at most. The oldest go first.
	MaxFiles int `json:"max_files"`
	// MaxFileSize is how large one gets, in bytes.
	MaxFileSize int64 `json:"max_file_size"`
}

// StartLogged is [Start] for a plan with Logs: the supervisor writes the log
// files in this directory, which the caller closes.
func StartLogged(id, dir string, plan *Plan, logs *os.File) (*Task, error) {
	return startTask(id, dir, plan, stdio{nil, logs, nil})
}

// logCollector writes a task's logs. What it cannot write, since the disk is full,
// is lost: a task does not wait for its log.
type logCollector struct {
	streams []*stream
	ending  int           // an eventfd, readable once the task has ended
	ended   chan struct{} // closed when all is written
}

// stream is a pipe from the task, and the files that it ends in.
type stream struct {
	from  int // the pipe's end, which does not block; notOpen once it is at its end
	files rotated
}

// logNames are the files that descriptors 1 and 2 end in.
var logNames = [...]string{"stdout", "stderr"}

// logBuffers are untouched, so that they need no memory, until a task writes.
var logBuffers [len(logNames)][64 << 10]byte // what a pipe holds, pipe(7)

// openLogs opens the log files and makes the pipes. It returns the task's ends
// of these. dir stays open for the files to come.
func openLogs(dir int, l *Logs) (*logCollector, stdio, error) {
	if err := mayCreateIn(dir); err != nil {
		return nil, stdio{}, fmt.Errorf("directory of the task's logs: %w", err)
	}
	ending, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, stdio{}, fmt.Errorf("eventfd(2) for the task's log: %w", err)
	}
	c := &logCollector{ending: ending, ended: make(chan struct{})}
	var std stdio
	for i, name := range logNames {
		s := &stream{}
		s.files = rotated{dir: dir, name: l.Task + "." + name + ".", maxFiles: l.MaxFiles, maxSize: l.MaxFileSize}
		if err := s.files.openLast(); err != nil {
			return nil, stdio{}, fmt.Errorf("the task's log: %w", err)
		}
		var ends [2]int
		if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
			return nil, stdio{}, fmt.Errorf("pipe2(2) for the task's log: %w", err)
		}
		// This end alone: a task's own is to block, as others do.
		if err := unix.SetNonblock(ends[0], true); err != nil {
			return nil, stdio{}, fmt.Errorf("the task's log: %w", err)
		}
		s.from = ends[0]
		std[1+i] = os.NewFile(uintptr(ends[1]), name)
		c.streams = append(c.streams, s)
	}
	return c, std, nil
}

// mayCreateIn checks that files can be made in a directory without any
// capability, since a supervisor has none by the time that it needs the second.
func mayCreateIn(dir int) error {
	var st unix.Stat_t
	if err := unix.Fstat(dir, &st); err != nil {
		return err
	}
	if st.Mode&0o002 == 0 && (st.Uid != 0 || st.Mode&0o200 == 0) {
		return fmt.Errorf("its owner is %d and its mode %#o, expected one in which root can make files without CAP_DAC_OVERRIDE, as Nomad makes it (0777)", st.Uid, st.Mode&0o7777)
	}
	return nil
}

// collect starts to write what comes.
func (c *logCollector) collect() { go c.copy() }

// breath is the time between two looks at the pipes. What a supervisor does is
// charged to no task: without it, one that writes single bytes wakes it for each. A
// task that writes more than a pipe holds in that time, 16 MiB per second, waits.
const breath = 4 * time.Millisecond

// copy writes what comes, until the pipes are at their end or the time is over. It
// asks by poll(2), and only then is woken by what a task writes: the runtime's
// poller would be at each write, whether anybody reads or not.
func (c *logCollector) copy() {
	defer close(c.ended)
	var until time.Time // zero as long as the task runs
	for {
		fds, wait := []unix.PollFd{{Fd: int32(c.ending), Events: unix.POLLIN}}, -1
		for _, s := range c.streams {
			if s.from != notOpen {
				fds = append(fds, unix.PollFd{Fd: int32(s.from), Events: unix.POLLIN})
			}
		}
		if len(fds) == 1 {
			return
		}
		if !until.IsZero() {
			left := time.Until(until)
			if left <= 0 {
				return
			}
			fds[0].Fd, wait = notOpen, int(left.Milliseconds())+1 // poll(2) passes over what is negative
		}
		if _, err := unix.Poll(fds, wait); err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		if until.IsZero() && fds[0].Revents != 0 {
			until = time.Now().Add(lastWords)
		}
		read := false
		for i, s := range c.streams {
			read = s.copy(logBuffers[i][:]) || read
		}
		if read && until.IsZero() {
			time.Sleep(breath)
		}
	}
}

// copy writes what is in the pipe. It reports whether there was anything.
func (s *stream) copy(buffer []byte) bool {
	if s.from == notOpen {
		return false
	}
	n, err := unix.Read(s.from, buffer)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return false
	}
	if n <= 0 {
		unix.Close(s.from)
		s.from = notOpen
		return false
	}
	s.files.write(buffer[:n])
	return true
}

// How long after the end of a task its log may take.
const (
	lastWords = time.Second     // from a process elsewhere that was given the task's end of the pipe
	lastWrite = 5 * time.Second // to a disk that does not answer
)

// finish returns when all that the task has written is in the files. No process
// of the task is left.
func (c *logCollector) finish() {
	_, _ = unix.Write(c.ending, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // any number but 0, eventfd(2)
	select {
	case <-c.ended:
	case <-time.After(lastWrite): // that the task has ended must become known
	}
}

// errForeign: what is there was not made by a collector of logs. Other tasks of
// the allocation may be able to write to the directory.
var errForeign = errors.New("expected a regular file with one name: another task of the allocation has put it there")
