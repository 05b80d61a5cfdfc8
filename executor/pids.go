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
	// The supervisor takes the place of parents that have ended.
	return descendants(t.supervisor.PID)
}

// descendants are the children of a process, their children, and so on.
func descendants(pid int) (pids []int) {
	for queue := []int{pid}; len(queue) > 0; queue = queue[1:] {
		found := children(queue[0])
		pids = append(pids, found...)
		queue = append(queue, found...)
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
