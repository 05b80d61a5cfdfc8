// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/plain"
)

// spawner is a thread of this process in a small mount namespace of its own, for
// supervisors to be started from. A new mount namespace is a copy of the one that
// its maker is in. Of the host's mounts that is five for each task, which Nomad
// makes: with a thousand tasks, to copy them and to let go of the copy took as
// long as all else of a start.
//
// What supervisors show of the host they cannot open there: they inherit it open,
// see inherited.
type spawner struct {
	mutex sync.Mutex  // for work
	work  chan func() // nil before the first start
}

// launcher is where this process starts its supervisors from. It lasts as long as
// the process.
var launcher = &spawner{}

// run runs f on the thread of the spawner, which is made if there is none.
func (n *spawner) run(f func()) error {
	if err := n.open(); err != nil {
		return err
	}
	done := make(chan struct{})
	n.work <- func() { // it is written once, by open
		defer close(done)
		f()
	}
	<-done
	return nil
}

func (n *spawner) open() error {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if n.work != nil {
		return nil
	}
	work, ready := make(chan func()), make(chan error)
	go serveSpawner(work, ready)
	if err := <-ready; err != nil {
		return fmt.Errorf("making a mount namespace to start supervisors from: %w", err)
	}
	n.work = work
	return nil
}

// serveSpawner makes a spawner, says whether that worked, and works in it.
func serveSpawner(work <-chan func(), ready chan<- error) {
	// Nothing else ever runs on this thread: it is not unlocked, and ends with
	// this function.
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// What /proc/self shows is of the first thread: it stays as it is. As long
		// as it waits here, the other one is not it.
		defer runtime.UnlockOSThread()
		other := make(chan error)
		go serveSpawner(work, other)
		ready <- <-other
		return
	}
	err := enterSpawner()
	ready <- err
	if err != nil {
		return
	}
	for f := range work {
		f()
	}
}

// spawnerView is what a supervisor needs before it has a view of its own: the
// /proc of the plugin's PIDs, and a place to make the view in.
var spawnerView = Isolation{PrivateRoot: true, Mounts: append(loaderMounts(),
	Mount{Type: Bind, Source: "/proc", Target: "/proc", Create: true, NoExec: true},
	Mount{Type: Dir, Target: stage, Create: true},
)}

// leaveSpawner makes the mount at the working directory the root of a process
// that was started from the spawner, and lets go of what else was mounted there.
//
// pivot_root(2) would do, but looks at all threads of the machine, of which each
// task has some, for those that are to have another root. chroot(2) changes that of
// all threads of this process, which share it.
func leaveSpawner() error {
	for _, m := range spawnerView.Mounts {
		if m.Type != Bind {
			continue
		}
		err := unix.Unmount(m.Target, unix.MNT_DETACH)
		if m.Optional && errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return fmt.Errorf("unmounting %s, which it was started with: %w", plain.Name(m.Target), err)
		}
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("moving the private root to /: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("chroot(2) to the private root: %w", err)
	}
	return nil
}

// enterSpawner moves the calling thread into a new mount namespace.
func enterSpawner() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil { // with that, of CLONE_FS as well
		return fmt.Errorf("unshare(CLONE_NEWNS): %w", err)
	}
	return makeView(spawnerView, nil)
}
