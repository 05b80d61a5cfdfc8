// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"bytes"
	"fmt"
	"os"
	"unsafe"
)

// readyID is the ID of a supervisor that has no task yet, for who looks at ps(1): with room
// for that of its task, which it writes in its place.
var readyID = fmt.Sprintf("%-255s", "(waits for the next task)")

// hasNoTask reports whether this supervisor was started before there was a task for it.
func hasNoTask() bool { return len(os.Args) == 2 && os.Args[1] == readyID }

// takeID makes the ID of a task the argument of this process, which ps(1) and
// openSupervisor read, if it was started before there was a task.
func takeID(id string) error {
	if !hasNoTask() {
		return nil
	}
	if len(id) > len(readyID) {
		return fmt.Errorf("the ID of the task has %d characters, expected at most %d", len(id), len(readyID))
	}
	// The strings of os.Args are where the kernel has put them, and looks for them.
	argument := unsafe.Slice(unsafe.StringData(os.Args[1]), len(readyID))
	clear(argument[copy(argument, id):])
	return nil
}

// isSupervisor reports whether a command line, as /proc/PID/cmdline has it, is that of
// the supervisor with this ID: NUL bytes follow one that took its ID later.
func isSupervisor(cmdline []byte, id string) bool {
	rest, ok := bytes.CutPrefix(cmdline, []byte(supervisorName+"\x00"+id+"\x00"))
	return ok && len(bytes.Trim(rest, "\x00")) == 0
}
