// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"os"
	"sync"
	"time"
)

// waiting is a supervisor that waits for its instructions. It ends when its socket is
// closed, and so when this process ends.
type waiting struct {
	*process
	socket *os.File
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
	return &waiting{p, own}, nil
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
	return spawnSupervisor(id, plan)
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
	ready.Lock()
	if ready.by[kind] == nil {
		ready.by[kind], w = w, nil
	}
	ready.Unlock()
	if w != nil {
		w.end()
	}
}
