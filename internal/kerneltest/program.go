// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package kerneltest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Program builds the program that the plugin carries, for package executor's SetProgram.
// A test's own binary does for most roles; but a forwarder of egress can open no
// libraries, which that may need.
func Program() ([]byte, error) {
	dir, err := os.MkdirTemp("", "harn-program-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "program")
	build := exec.Command("go", "build", "-o", file, "github.com/burin-labs/nomad-driver-harn/executor/image/program")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return os.ReadFile(file)
}
