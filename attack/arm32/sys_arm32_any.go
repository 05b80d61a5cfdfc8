// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Runs a program of 32 bit ARM, whose calls have other numbers; Go's own start makes some.

//go:build arm

package main

import "os"

func main() {
	if os.Getpid() <= 0 {
		os.Exit(1)
	}
}
