// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// PIDs returns the processes of the task, as the host sees them, without
// supervisor and sessions. Some may have ended by the time that it returns.
func (t *Task) PIDs() []int {
	if t.supervisor == nil {
		return nil
	}
	var pids []int
	// All processes of the task's PID namespace descend from its first one, the
	// supervisor.
	for queue := []int{t.supervisor.PID}; len(queue) > 0; queue = queue[1:] {
		for _, child := range children(queue[0]) {
			pids = append(pids, child)
			queue = append(queue, child)
		}
	}
	return pids
}

// children are the children of all threads of a process, proc_pid_task(5).
func children(pid int) []int {
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil
	}
	var pids []int
	for _, thread := range threads {
		list, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, thread.Name()))
		if err != nil {
			continue
		}
		for field := range strings.FieldsSeq(string(list)) {
			if child, err := strconv.Atoi(field); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids
}
