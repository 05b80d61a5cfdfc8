// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package denials

import (
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// failing is a log that fails again and again, and is opened again not at once.
type failing struct {
	steps  []error // of Next and Reopen, in their order; nil is a record
	opened int
	ended  chan struct{}
}

func (f *failing) step() error {
	if len(f.steps) == 0 {
		close(f.ended)
		runtime.Goexit()
	}
	err := f.steps[0]
	f.steps = f.steps[1:]
	return err
}

func (f *failing) Next() (kind uint16, text string, lost bool, err error) {
	return 1326, "unreadable", false, f.step() // AUDIT_SECCOMP
}

func (f *failing) Reopen() error {
	f.opened++
	return f.step()
}

// An error ends neither the reader nor the plugin, and is said once.
func TestTheLogIsReadOnAfterAnError(t *testing.T) {
	was := reopenPeriod
	reopenPeriod = time.Millisecond
	t.Cleanup(func() { reopenPeriod = was })
	var lock sync.Mutex
	var said []string
	w := New(func(message string, _ ...any) {
		lock.Lock()
		defer lock.Unlock()
		said = append(said, message)
	})
	f := &failing{ended: make(chan struct{}), steps: []error{
		unix.ENOTSOCK, unix.EMFILE, unix.EMFILE, nil, // failed, opened at the third time
		unix.EBADF, nil,
		nil, // a record
	}}
	go w.read(f)
	select {
	case <-f.ended:
	case <-time.After(10 * time.Second):
		t.Fatal("it does not read on")
	}
	lock.Lock()
	defer lock.Unlock()
	want := []string{"the audit log cannot be read, and it is tried again: denials are missing meanwhile", "an audit record cannot be read"}
	if !slices.Equal(said, want) || f.opened != 4 {
		t.Errorf("%q after it was opened %d times, want %q and 4", said, f.opened, want)
	}
}
