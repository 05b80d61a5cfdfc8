// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import "sync"

// taskStore finds handles by task ID.
type taskStore struct {
	lock    sync.RWMutex
	handles map[string]*taskHandle
}

func newTaskStore() *taskStore { return &taskStore{handles: map[string]*taskHandle{}} }

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
}
