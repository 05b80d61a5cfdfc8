// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"os"
	"runtime"
)

// The names (argv[0]) under which the binary runs as something else than the
// plugin.
const (
	supervisorName = "harn-supervisor"
	sessionName    = "harn-session"
	starterName    = "harn-session-starter"
	probeName      = "harn-probe"
	keeperName     = "harn-keeper"
)

// init runs a supervisor, a session or another of these, and does not return in one.
//
// Go initializes packages in the order of their import paths, but each after
// those that it imports. So this package comes before those of the plugin,
// which take longer and more memory, as long as it imports none that comes late
// itself: path and not path/filepath, no os/exec. main_test.go checks that.
func init() {
	if len(os.Args) == 0 {
		return
	}
	var role func() int
	switch os.Args[0] {
	case supervisorName:
		role = supervisor
	case sessionName:
		role = session
	case starterName:
		role = sessionStarter
	case probeName:
		role = probe
	case keeperName:
		role = keeper
	default:
		return
	}
	// Namespaces, credentials, Landlock and seccomp belong to a thread: all of
	// this runs on the main thread, as every init does, and processes are started
	// from it.
	if os.Args[0] != supervisorName {
		// In other namespaces than the rest of the process, this thread can make no
		// others: the runtime then has one that does nothing else. What a keeper starts
		// ends with the thread that has started it.
		runtime.LockOSThread()
	}
	os.Exit(role())
}

// environment is that of supervisors and probes. It has nothing of the
// plugin's: one processor is enough for them, and saves memory; then Go's runtime
// need not look for a limit of processors, and keep the files that say so open.
// A supervisor's signals are blocked: the runtime is not to send it any.
var environment = []string{"GOMAXPROCS=1", "GODEBUG=containermaxprocs=0,asyncpreemptoff=1"}

// sessionEnvironment is that of sessions. While the first thread waits for a child to
// execute, which may be in vain, Go's runtime does not know that it waits: so there is
// another processor for the watchdog, and nothing stops all threads to collect garbage.
var sessionEnvironment = []string{"GOMAXPROCS=2", "GOGC=off", "GODEBUG=containermaxprocs=0,asyncpreemptoff=1"}
