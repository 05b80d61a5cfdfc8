// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
)

// waiting is a supervisor that waits for its instructions. It ends when its socket is
// closed, and so when this process ends.
type waiting struct {
	*process
	socket *os.File
	// reader reads from the socket.
	reader *bufio.Reader
	// waited: it was started before there was a task for it.
	waited bool
}

const (
	// startTimeout is how long a supervisor may take until its program executes. A
	// root on a network file system may need much of it.
	startTimeout = time.Minute
	// takeTimeout is how long one that has waited may take to have its instructions. It
	// can have been stopped or frozen meanwhile; a machine that is busy makes it wait for
	// seconds.
	takeTimeout = 10 * time.Second
)

// errNotTaken: a supervisor has ended, and never had its instructions.
var errNotTaken = errors.New("the supervisor did not take its instructions")

// instruct sends a supervisor its instructions. Of one that has waited, it returns once it
// has them; or errNotTaken, and then that has ended.
func (w *waiting) instruct(encoded []byte, passed []int) error {
	timeout := startTimeout
	if w.waited {
		timeout = takeTimeout
	}
	if err := w.socket.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	err := sendMessage(w.socket, encoded, passed)
	if !w.waited {
		if errors.Is(err, syscall.EPIPE) {
			return nil // the status says why
		}
		if err != nil {
			return fmt.Errorf("instructing the supervisor: %w", err)
		}
		return nil
	}
	if err == nil || errors.Is(err, syscall.EPIPE) { // what it said before its end is still there
		err = w.took()
	}
	if err == nil {
		return nil
	}
	reason := err
	if err := w.kill(); err != nil {
		return fmt.Errorf("a supervisor that waited for a task does not take it: %w", err)
	}
	// Now it is certain whether it had them.
	if err := w.socket.SetDeadline(time.Now().Add(takeTimeout)); err != nil {
		return err
	}
	if w.took() == nil {
		return fmt.Errorf("the supervisor did not say that it has its instructions, and was killed when it had them (%w)", reason)
	}
	w.end()
	return errNotTaken
}

// taken is what a supervisor says when it has its instructions: white space, which is
// nothing before its status.
const taken = '\n'

// took waits until the supervisor has its instructions. The error says why it is not known
// to have them.
func (w *waiting) took() error {
	said, err := w.reader.Peek(1)
	if err == nil && said[0] != taken {
		err = fmt.Errorf("it said %q", said)
	}
	return err
}

// status waits for the status.
func (w *waiting) status() (*status, error) {
	if err := w.socket.SetDeadline(time.Now().Add(startTimeout)); err != nil {
		return nil, err
	}
	st := &status{}
	if err := json.NewDecoder(w.reader).Decode(st); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, fmt.Errorf("the task's program did not execute within %v: is one of its roots on a file system that hangs?", startTimeout)
		}
		return nil, fmt.Errorf("the supervisor ended without a word, was it killed? (%w)", err)
	}
	return st, nil
}

// end has it end, and waits for that.
func (w *waiting) end() {
	w.socket.Close()
	_ = w.discard()
}

// spawnSupervisor starts a supervisor. id is shown by ps(1).
func spawnSupervisor(id string, plan *Plan) (*waiting, error) {
	own, other, err := newSocket()
	if err != nil {
		return nil, err
	}
	defer other.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		own.Close()
		return nil, err
	}
	defer null.Close()
	files := []uintptr{null.Fd(), null.Fd(), null.Fd(), other.Fd(), null.Fd(), null.Fd(), null.Fd()}
	var p *process
	start := func() { p, err = spawn(supervisorName, id, plan.Isolation.namespaces(), files) }
	if !plan.fromSpawner() {
		start()
	} else if failed := launcher.run(start); failed != nil {
		err = failed
	}
	if err != nil {
		own.Close()
		return nil, err
	}
	return &waiting{process: p, socket: own, reader: bufio.NewReader(own)}, nil
}

// To start a process in namespaces of its own, and Go's runtime in it, takes a good part
// of what a start takes. So there is one that waits for the next task.

// ready are supervisors that wait for the next task, by their namespaces.
var ready = struct {
	sync.Mutex
	keep bool
	by   map[uintptr]*waiting
}{by: map[uintptr]*waiting{}}

// KeepReady has this process keep a supervisor that waits for the next task, from the
// first start on: one for each kind of namespaces that tasks of this process have had. Each
// takes about a megabyte.
func KeepReady() {
	ready.Lock()
	defer ready.Unlock()
	ready.keep = true
}

// findSupervisor returns the supervisor that waits for a task, or starts one.
func findSupervisor(id string, plan *Plan) (*waiting, error) {
	if w := takeReady(id, plan); w != nil {
		return w, nil
	}
	return newSupervisor(id, plan)
}

// newSupervisor starts a supervisor for a task.
func newSupervisor(id string, plan *Plan) (*waiting, error) {
	w, err := spawnSupervisor(id, plan)
	if err != nil && endReady() {
		// What those that wait held of namespaces, processes and descriptors may be what
		// was missing.
		w, err = spawnSupervisor(id, plan)
	}
	return w, err
}

// endReady ends all supervisors that wait. It reports whether there was one.
func endReady() bool {
	ready.Lock()
	waited := ready.by
	ready.by = map[uintptr]*waiting{}
	ready.Unlock()
	for _, w := range waited {
		w.end()
	}
	return len(waited) > 0
}

// takeReady returns a supervisor that waits, nil if there is none for this task.
func takeReady(id string, plan *Plan) *waiting {
	if !plan.fromSpawner() || len(id) > len(readyID) {
		return nil
	}
	kind := plan.Isolation.namespaces()
	ready.Lock()
	w := ready.by[kind]
	delete(ready.by, kind)
	ready.Unlock()
	if w == nil {
		return nil
	}
	if w.ended() { // somebody has killed it
		w.end()
		return nil
	}
	return w
}

// readyDelay is how long the program of a task that was started has the processors for itself
// before the next supervisor is started.
const readyDelay = 10 * time.Millisecond

// makeReady starts the supervisor of the next task of the same kind.
func makeReady(plan *Plan) {
	kind := plan.Isolation.namespaces()
	ready.Lock()
	need := ready.keep && plan.fromSpawner() && ready.by[kind] == nil
	ready.Unlock()
	if !need {
		return
	}
	w, err := spawnSupervisor(readyID, plan)
	if err != nil {
		return // the next start says why, if it is still so
	}
	w.waited = true
	ready.Lock()
	if ready.by[kind] == nil {
		ready.by[kind], w = w, nil
	}
	ready.Unlock()
	if w != nil {
		w.end()
	}
}
