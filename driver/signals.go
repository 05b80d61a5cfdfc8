// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// parseSignal returns the signal of a name, with or without SIG: SIGHUP, hup.
func parseSignal(name string) (unix.Signal, error) {
	full := strings.ToUpper(strings.TrimSpace(name))
	if !strings.HasPrefix(full, "SIG") {
		full = "SIG" + full
	}
	if sig := unix.SignalNum(full); sig != 0 {
		return sig, nil
	}
	return 0, fmt.Errorf("unknown signal %q, expected a name of signal(7) such as SIGTERM or SIGHUP", name)
}
