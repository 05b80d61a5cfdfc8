// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Command program is package executor, which supervisors, sessions and probes run, and
// the forwarder of tasks with egress rules, which initializes after these. Each start of
// a task executes it, and pays for whatever else is in it, also if that is not used: the
// command line, and what makes the networks of tasks, are not.
package main

import (
	"fmt"
	"os"

	_ "github.com/burin-labs/nomad-driver-harn/egress/forward" // nor does its, in a forwarder
	_ "github.com/burin-labs/nomad-driver-harn/executor"       // its init does not return in a supervisor, a session or a probe
)

func main() {
	fmt.Fprintln(os.Stderr, "This program is a part of nomad-driver-harn, which starts it.")
	os.Exit(2)
}
