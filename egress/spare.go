// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package egress

import (
	"sync"

	"github.com/burin-labs/nomad-driver-harn/egress/netns"
)

// spare keeps a namespace ready for the next task, once there was one: to make it takes
// more than all else of a network. Nothing is in it that is a task's.
type spare struct {
	mutex  sync.Mutex
	ready  *netns.Space
	making bool
}

var spaces spare

// open returns a namespace, and has the next one made.
func (s *spare) open(c netns.Config) (*netns.Space, error) {
	if len(c.Own) > 0 { // what ends at the listener is decided when it is made
		return netns.Open(c)
	}
	s.mutex.Lock()
	space := s.ready
	s.ready = nil
	if !s.making {
		s.making = true
		go s.make()
	}
	s.mutex.Unlock()
	if space == nil {
		return netns.Open(c)
	}
	if err := space.Add(c.Addresses); err != nil {
		space.Close()
		return nil, err
	}
	return space, nil
}

// make makes the next one. An error is for who asks for one then.
func (s *spare) make() {
	space, err := netns.Open(netns.Config{})
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.making = false
	if err == nil {
		s.ready = space
	}
}
