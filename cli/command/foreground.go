// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package command

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/sandbox"
)

// passedOn are the signals that are the command's: those of a terminal, and
// those by which people and service managers ask for something. The others
// keep their meaning for this process; when it ends, so does the command.
var passedOn = append([]os.Signal{syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGCONT}, ofTerminals...)

// ofTerminals are the signals that a terminal sends to all processes in its
// foreground. The others reach the command's first process.
var ofTerminals = []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGWINCH}

// runInForeground runs a command to its end, with the descriptors of this process.
//
// A terminal is never the user's own: what has that open could change its settings
// for good, and go on to read from it. The command has a new one in its place, which
// is copied from and to the user's, as by script(1). What else the descriptors are, the
// command can open by name, too: see [streams].
func runInForeground(run *sandbox.Run) (exit executor.Exit, err error) {
	std := [3]*os.File{os.Stdin, os.Stdout, os.Stderr}
	relays, err := newRelays(&std, run.User())
	if err != nil {
		return exit, fmt.Errorf("making a terminal: %w", err)
	}
	defer relays.stop()
	streams, err := newStreams(&std, run.User())
	if err != nil {
		return exit, err
	}
	defer func() { err = errors.Join(err, streams.wait()) }()
	// From before the command is there: none is lost.
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, passedOn...)
	defer signal.Stop(signals)

	task, err := run.Start(std)
	if err != nil {
		return exit, err
	}
	relays.start()
	streams.started()
	for {
		select {
		case sig := <-signals:
			relays.notice(sig)
			// One that it cannot be given any more is followed by its end.
			switch number := sig.(syscall.Signal); {
			case sig == syscall.SIGCONT, sig == syscall.SIGWINCH && relays.controlling():
				// For the terminal, which tells the command.
			case slices.Contains(ofTerminals, sig):
				_ = task.SignalAll(number)
			default:
				_ = task.Signal(number)
			}
		case <-task.Done():
			exit, err = task.Exit()
			return exit, errors.Join(err, task.Remove())
		}
	}
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
