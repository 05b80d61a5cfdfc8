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

// collector writes a task's logs. What it cannot write, since the disk is full,
// is lost: a task does not wait for its log.
type collector struct {
	streams []*stream
}

// stream is a pipe from the task, and the files that it ends in.
type stream struct {
	from  *os.File
	files rotated
	ended chan struct{} // closed when all is written
}

// logNames are the files that descriptors 1 and 2 end in.
var logNames = [...]string{"stdout", "stderr"}

// logBuffers are untouched, so that they need no memory, until a task writes.
var logBuffers [len(logNames)][32 << 10]byte

// openLogs opens the log files and makes the pipes. It returns the task's ends
// of these. dir stays open for the files to come.
func openLogs(dir int, l *Logs) (*collector, stdio, error) {
	if err := mayCreateIn(dir); err != nil {
		return nil, stdio{}, fmt.Errorf("directory of the task's logs: %w", err)
	}
	c := &collector{}
	var std stdio
	for i, name := range logNames {
		s := &stream{ended: make(chan struct{})}
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
		s.from = os.NewFile(uintptr(ends[0]), name)
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
func (c *collector) collect() {
	for i, s := range c.streams {
		go s.copy(logBuffers[i][:])
	}
}

func (s *stream) copy(buffer []byte) {
	defer close(s.ended)
	for {
		n, err := s.from.Read(buffer)
		s.files.write(buffer[:n])
		if err != nil { // it is closed, or the time is over
			return
		}
	}
}

// How long after the end of a task its log may take.
const (
	lastWords = time.Second     // from a process elsewhere that was given the task's end of the pipe
	lastWrite = 5 * time.Second // to a disk that does not answer
)

// finish returns when all that the task has written is in the files. No process
// of the task is left.
func (c *collector) finish() {
	for _, s := range c.streams {
		_ = s.from.SetReadDeadline(time.Now().Add(lastWords))
	}
	late := time.After(lastWrite)
	for _, s := range c.streams {
		select {
		case <-s.ended:
		case <-late:
			return // that the task has ended must become known
		}
	}
}

// errForeign: what is there was not made by a collector of logs. Other tasks of
// the allocation may be able to write to the directory.
var errForeign = errors.New("expected a regular file with one name: another task of the allocation has put it there")
