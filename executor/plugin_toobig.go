// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"fmt"
	"os"
	"strings"

	"github.com/burin-labs/nomad-driver-harn/internal/plain"
)

// maxArgPages is MAX_ARG_STRLEN of linux/binfmts.h, in pages: the length of one
// argument or variable, with the zero byte that ends it, execve(2).
const maxArgPages = 32

// tooBig says which of a program's arguments and variables the kernel answers
// E2BIG for: those that are too long by themselves, else the longest of them all,
// which have not enough room together.
func tooBig(p *Process) string {
	most := maxArgPages*os.Getpagesize() - 1
	var over []string
	total, longest, length := 0, "", 0
	look := func(what, text string) {
		const pointer = 8
		total += len(text) + 1 + pointer
		if len(text) > most {
			over = append(over, fmt.Sprintf("%s (%d bytes)", what, len(text)))
		}
		if len(text) > length {
			longest, length = what, len(text)
		}
	}
	for i, arg := range p.Args {
		what := "the name of the program"
		if i > 0 {
			what = fmt.Sprintf("args: argument %d of %d", i, len(p.Args)-1)
		}
		look(what, arg)
	}
	for _, variable := range p.Env {
		name, _, _ := strings.Cut(variable, "=")
		look("env: the variable "+plain.Name(name), variable)
	}
	const named = 8 // named one by one
	if len(over) > 0 {
		text := strings.Join(over[:min(len(over), named)], ", ")
		if rest := len(over) - named; rest > 0 {
			text += fmt.Sprintf(" and %d more", rest)
		}
		return fmt.Sprintf("%s: the kernel takes at most %d bytes of one, a variable's name counted: put it into a file, as by a template block", text, most)
	}
	return fmt.Sprintf("%d arguments and %d variables have %d bytes in all, the longest is %s (%d bytes): the kernel takes a quarter of the stack's limit (ulimit stack), at most 6 MiB: put them into a file, as by a template block",
		len(p.Args), len(p.Env), total, longest, length)
}
