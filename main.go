// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Command nomad-driver-harn is a Nomad task driver plugin that confines tasks
// by Landlock and seccomp, under a Harn capability policy.
//
// The same binary is the command line that explains policies and hosts. It
// carries the program of each task's supervisor. In a binary that
// was built without, it is that as well: package executor sees to that in its
// init, before main, and before the packages of the plugin initialize.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/nomad/plugins/base"

	"github.com/burin-labs/nomad-driver-harn/cli"
	_ "github.com/burin-labs/nomad-driver-harn/cli/early" // its init does not return for a command that needs no Nomad
	"github.com/burin-labs/nomad-driver-harn/driver"
	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/executor/image"
)

func main() {
	executor.SetProgram(image.Program())
	// Whoever starts a plugin says so by this cookie, whatever else is in the
	// plugin block's args.
	if os.Getenv(base.Handshake.MagicCookieKey) != base.Handshake.MagicCookieValue {
		os.Exit(cli.Main(os.Args[1:]))
	}
	// The log is a pipe to the agent. If that is killed, the plugin must live on until
	// what it starts is started: to be killed by SIGPIPE in the midst of that would lose
	// tasks. Not ignored, which those that it starts would inherit.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	// One plugin serves all tasks of a node, and is idle for most of the time: it
	// collects its garbage at half the usual growth.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	executor.KeepReady()
	logger := hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, JSONFormat: true}) // as the client reads it
	driver.New(ctx, logger).Serve(logger)
}
