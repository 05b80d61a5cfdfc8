// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import "sync"

// taskStore finds handles by task ID.
type taskStore struct {
	lock    sync.RWMutex
	handles map[string]*taskHandle
	begun   map[string]bool   // directories of records of tasks that are being started
	users   map[string]holder // of tasks that are being started, or of which some may be left, by task ID
}

func newTaskStore() *taskStore {
	return &taskStore{handles: map[string]*taskHandle{}, begun: map[string]bool{}, users: map[string]holder{}}
}

// begin keeps a directory of records from being swept until end.
func (s *taskStore) begin(dir string) (end func()) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.begun[dir] = true
	return func() {
		s.lock.Lock()
		defer s.lock.Unlock()
		delete(s.begun, dir)
	}
}

// inUse reports whether a directory of records is of a task that is known or
// being started.
func (s *taskStore) inUse(dir string) bool {
	s.lock.RLock()
	defer s.lock.RUnlock()
	if s.begun[dir] {
		return true
	}
	for _, h := range s.handles {
		if h.state.StateDir == dir {
			return true
		}
	}
	return false
}

// knows reports whether a start of a task is known.
func (s *taskStore) knows(allocID, task string) bool {
	s.lock.RLock()
	defer s.lock.RUnlock()
	for _, h := range s.handles {
		if h.config.AllocID == allocID && h.config.Name == task {
			return true
		}
	}
	return false
}

func (s *taskStore) get(id string) (*taskHandle, bool) {
	s.lock.RLock()
	defer s.lock.RUnlock()
	h, ok := s.handles[id]
	return h, ok
}

func (s *taskStore) set(h *taskHandle) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.handles[h.config.ID] = h
}

func (s *taskStore) delete(id string) {
	s.lock.Lock()
	defer s.lock.Unlock()
	delete(s.handles, id)
	delete(s.users, id)
}

// abandon forgets a task of which processes may be left: until it is deleted, its user
// is given to nobody else.
func (s *taskStore) abandon(h *taskHandle) {
	s.lock.Lock()
	defer s.lock.Unlock()
	delete(s.handles, h.config.ID)
	s.users[h.config.ID] = holderOf(h.config, h.state.UserName, h.task.User().UID)
}

// running is how many of the known tasks run.
func (s *taskStore) running() (n int) {
	s.lock.RLock()
	defer s.lock.RUnlock()
	for _, h := range s.handles {
		if h.running() {
			n++
		}
	}
	return n
}
