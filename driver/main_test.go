// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

// carried: supervisors and the like run the program that the plugin carries. Where it
// cannot be built, they run the tests' own binary.
var carried bool

func TestMain(m *testing.M) {
	kerneltest.Isolate()
	if program, err := kerneltest.Program(); err == nil {
		executor.SetProgram(bytes.NewReader(program))
		carried = true
	}
	if _, chosen := os.LookupEnv("NOMAD_TEST_LOG_LEVEL"); !chosen {
		_ = os.Setenv("NOMAD_TEST_LOG_LEVEL", "OFF") // of Nomad's own test harness
	}
	os.Exit(m.Run())
}

// testLogger is quiet unless the tests are verbose.
func testLogger(t *testing.T) hclog.Logger {
	t.Helper()
	if !testing.Verbose() {
		return hclog.NewNullLogger()
	}
	return hclog.New(&hclog.LoggerOptions{Level: hclog.Debug, Output: os.Stderr})
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
