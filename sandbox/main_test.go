// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"os"
	"strings"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

func TestMain(m *testing.M) {
	kerneltest.Isolate()
	os.Exit(m.Run())
}

func wantError(t *testing.T, name string, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error, want one with %q", name, parts)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %q does not say %q", name, err, part)
		}
	}
}
