// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/cgroup"
	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/meter"
)

// taskHandle is one task that this driver knows.
type taskHandle struct {
	config  *drivers.TaskConfig
	state   TaskState
	task    *executor.Task
	cgroup  *cgroup.Group
	compute *compute
	meter   *meter.Meter
	sampler *meter.Sampler
	// reported is closed when all that there is to tell of the task's end is told: what it
	// was denied, and whether it had too little memory.
	reported <-chan struct{}
}

// running reports whether the task has not ended.
func (h *taskHandle) running() bool {
	select {
	case <-h.task.Done():
		return false
	default:
		return true
	}
}

// result is how the task ended. It waits until it has.
func (h *taskHandle) result() *drivers.ExitResult {
	exit, err := h.task.Exit()
	if err != nil {
		return &drivers.ExitResult{ExitCode: -1, Err: plain.Error(err)}
	}
	return &drivers.ExitResult{ExitCode: exit.Code, Signal: exit.Signal, OOMKilled: exit.OOMKilled}
}

// reportTime is how long the result of a task that has ended waits for the reports of it.
const reportTime = 2 * time.Second

// wait sends the task's result to the channel, and closes it.
func (h *taskHandle) wait(ctx context.Context, ch chan<- *drivers.ExitResult) {
	defer close(ch)
	select {
	case <-ctx.Done():
		return
	case <-h.task.Done():
	}
	// Nomad takes no event of a task after its end. But its disk can hang for good, on which
	// what it was denied is listed.
	timer := time.NewTimer(reportTime)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return
	case <-h.reported:
	case <-timer.C:
	}
	select {
	case <-ctx.Done():
	case ch <- h.result():
	}
}

// status is the task's state for InspectTask.
func (h *taskHandle) status() *drivers.TaskStatus {
	status := &drivers.TaskStatus{
		ID:               h.config.ID,
		Name:             h.config.Name,
		State:            drivers.TaskStateRunning,
		StartedAt:        h.task.StartedAt(),
		DriverAttributes: maps.Clone(h.state.Attributes),
	}
	if status.DriverAttributes == nil {
		status.DriverAttributes = map[string]string{}
	}
	status.DriverAttributes["pid"] = strconv.Itoa(h.task.PID())
	if !h.running() {
		status.State = drivers.TaskStateExited
		status.ExitResult = h.result()
		if exit, err := h.task.Exit(); err == nil {
			status.CompletedAt = exit.At
		}
	}
	return status
}

// stop asks the task's first process to end, as other drivers do: it knows in which
// order its others are to end. When it has, or after the timeout, all of the task is
// killed.
func (h *taskHandle) stop(timeout time.Duration, sig unix.Signal) error {
	// A task that has ended meanwhile is what was wanted.
	_ = h.task.Signal(sig)
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-h.task.Done():
		return nil
	case <-timer.C:
		return h.task.Kill()
	}
}

// pids are the task's processes, as the host sees them.
func (h *taskHandle) pids() []int {
	if pids, ok := h.cgroup.PIDs(); ok {
		return pids
	}
	return h.task.PIDs()
}

// mayRun reports whether there may be a process of the task.
func (h *taskHandle) mayRun() bool {
	if h.running() {
		return true
	}
	pids, known := h.cgroup.PIDs()
	return known && len(pids) > 0
}

// forget removes what is left of the task. Its records are the last: they tell
// the next plugin process what there is to remove, should this one be killed.
func (h *taskHandle) forget() error {
	if err := h.task.Clear(); err != nil {
		return fmt.Errorf("killing what is left of the task: %w", err)
	}
	h.cgroup.Remove()
	if err := h.task.Remove(); err != nil {
		return fmt.Errorf("removing the task's records: %w", err)
	}
	return nil
}
