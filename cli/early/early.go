// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package early runs, in its init, the command lines that do not need Nomad: by the
// program that the plugin carries, and before Nomad's packages are initialized, which
// takes longer than all that such a command does.
//
// Go initializes packages in the order of their import paths, but each after those
// that it imports. So this comes before Nomad's as long as it imports none that
// comes late itself. main_test.go checks that.
package early

import (
	"os"
	"slices"
	"strings"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/executor/image"
)

// PluginCookie is the variable by which Nomad says that it starts a plugin, whatever
// else is in the plugin block's args.
const PluginCookie = "NOMAD_PLUGIN_MAGIC_COOKIE"

// carried are the commands that the carried program has: those of package command.
var carried = []string{"explain", "run", "version"}

// late are the options that take Nomad's parsers, or help a reader.
var late = []string{"job", "config", "h", "help"}

func init() {
	if program := image.Commands(); program != nil && os.Getenv(PluginCookie) == "" && os.Getenv("COMP_LINE") == "" && isEarly(os.Args) {
		// It returns where such programs are forbidden: then main has the command.
		_ = executor.ExecProgram(program, os.Args, os.Environ())
	}
}

// isEarly looks at the command and its options. What only looks like a late one is
// slower, and no less right.
func isEarly(args []string) bool {
	if len(args) < 2 || !slices.Contains(carried, args[1]) {
		return false
	}
	for _, arg := range args[2:] {
		if arg == "--" {
			break
		}
		name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if strings.HasPrefix(arg, "-") && slices.Contains(late, name) {
			return false
		}
	}
	return true
}
