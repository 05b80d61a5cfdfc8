// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Command cmd tries operations, one an argument: its name and what it is
// applied to, separated by spaces. It prints each with the kernel's answer.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/burin-labs/nomad-driver-harn/internal/attempt"
)

func main() {
	for _, arg := range os.Args[1:] {
		fields := strings.Fields(arg)
		op := attempt.New(fields[0], fields[1:]...)
		fmt.Printf("%s: %s\n", op, op.Do())
	}
}
