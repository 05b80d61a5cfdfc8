// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseSignal(t *testing.T) {
	for name, want := range map[string]unix.Signal{
		"SIGHUP": unix.SIGHUP, "HUP": unix.SIGHUP, "hup": unix.SIGHUP, " SIGUSR1 ": unix.SIGUSR1, "SIGKILL": unix.SIGKILL,
	} {
		if got, err := parseSignal(name); err != nil || got != want {
			t.Errorf("%q: %v, %v, want %v", name, got, err, want)
		}
	}
	for _, name := range []string{"", "SIG", "SIGFOO", "9"} {
		_, err := parseSignal(name)
		wantError(t, name, err, "unknown signal", "SIGTERM")
	}
}
