// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Command program is package executor, what supervisors, sessions and probes of the
// plugin run, and the forwarder of tasks with egress rules, which initializes after
// these. It is a tenth of the plugin's size, and starts in a third of the time.
package main

import (
	"fmt"
	"os"

	_ "github.com/burin-labs/nomad-driver-harn/egress/forward" // nor does its, in a forwarder
	_ "github.com/burin-labs/nomad-driver-harn/executor"       // its init does not return in one of these
)

func main() {
	fmt.Fprintln(os.Stderr, "This program is a part of nomad-driver-harn, which starts it.")
	os.Exit(2)
}
