// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"testing"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

// Where the tests run, overlays work.
func TestOverlayWorks(t *testing.T) {
	kerneltest.Root(t)
	if err := OverlayWorks("/etc"); err != nil {
		t.Skip(err)
	}
	if err := OverlayWorks("/none"); err == nil {
		t.Error("a directory that does not exist")
	}
}
