// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package kerneltest

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Thread runs f on a thread of its own, which ends with it, and so does what f makes
// of the thread: its namespaces, rules and filters. It is not the main thread, which
// Go keeps when its goroutine ends, and by which /proc/self is the process's.
func Thread(f func()) {
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			defer runtime.UnlockOSThread()
			defer close(done)
			Thread(f) // on another one, as this one is taken
			return
		}
		defer close(done)
		f()
	}()
	<-done
}
