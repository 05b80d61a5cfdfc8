// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/burin-labs/nomad-driver-harn/policy"
)

// filePatience is how long a file system has to answer: a task's start waits for it. One of
// the network, or one that is mounted when somebody looks, may never do so, and what waits
// for it cannot be interrupted.
var filePatience = 10 * time.Second

// lookups are those that look at file systems that may not answer. Of one that does not, one
// goroutine waits, however often it is asked for.
type lookups struct {
	mutex   sync.Mutex
	running map[string]*lookup // by key
}

type lookup struct {
	done  chan struct{}
	began time.Time
}

var patient = lookups{running: map[string]*lookup{}}

// run runs f, and reports whether it has returned in time. If not, it may go on, so that
// what it writes is not to be read. While an earlier one of the same key has not returned,
// f waits for that, and is not run once that has taken too long.
func (l *lookups) run(key string, f func()) bool {
	deadline := time.NewTimer(filePatience)
	defer deadline.Stop()
	in := func(q *lookup) bool {
		select {
		case <-q.done:
			return true
		case <-deadline.C:
			return false
		}
	}
	for {
		l.mutex.Lock()
		before := l.running[key]
		if before == nil {
			break
		}
		l.mutex.Unlock()
		if time.Since(before.began) > filePatience || !in(before) {
			return false
		}
	}
	own := &lookup{done: make(chan struct{}), began: time.Now()}
	l.running[key] = own
	l.mutex.Unlock()
	go func() {
		f()
		l.mutex.Lock()
		delete(l.running, key)
		l.mutex.Unlock()
		close(own.done)
	}()
	return in(own)
}

// errSilent is in the error about what does not answer.
var errSilent = errors.New("see to the file system (NFS, autofs, FUSE) that it lies on, or unmount that (umount -l)")

// silent is the error about what does not answer.
func silent(what string) error {
	return fmt.Errorf("%s does not answer within %v: %w", what, filePatience, errSilent)
}

// realPath is [policy.RealPath], of a path on what may not answer.
func realPath(path string) (string, error) {
	at, _, err := followPath(path)
	return at, err
}

// followPath is [policy.Follow], of a path on what may not answer.
func followPath(path string) (string, []policy.Link, error) {
	type followed struct {
		at    string
		links []policy.Link
		err   error
	}
	found := &followed{}
	if !patient.run(path, func() { found.at, found.links, found.err = policy.Follow(path) }) {
		return "", nil, silent("it")
	}
	return found.at, found.links, found.err
}
