// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package landlock

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Each part of a trial notices that nothing is denied. That all of it is denied
// under the ruleset, every probe shows (package executor).
func TestTrialNoticesAMissingConfinement(t *testing.T) {
	trial, err := NewTrial(NewestABI())
	if err != nil {
		t.Fatal(err)
	}
	defer trial.Close()
	for name, try := range map[string]func() error{
		"all": trial.AllDenied, "truncate": truncateDenied, "ioctl": ioctlDenied, "abstract": trial.abstractDenied,
		"tcp": func() error { return connectDenied("TCP", unix.SOCK_STREAM) },
		"udp": func() error { return connectDenied("UDP", unix.SOCK_DGRAM) },
	} {
		if err := try(); err == nil || !strings.HasPrefix(err.Error(), "landlock: ") {
			t.Errorf("%s: an unconfined process passes: %v", name, err)
		}
	}
}
