// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"io"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// watchdog ends a session that nobody wants any more, from whichever point it is at:
// the main thread may wait in clone(2) for a child that somebody has stopped. It is
// a thread of its own, which takes a second processor of Go's runtime: see
// sessionEnvironment.
type watchdog struct {
	// born is a pidfd of the command, notOpen before there is one.
	born  int32
	state atomic.Int32
}

// The states of a watchdog.
const (
	watching = int32(iota)
	biting
	gone
)

// biteTime is how long a session may take to end once it is to. The plugin kills
// it then.
const biteTime = 10 * time.Second

// watch bites once the other end of the pipe is closed: whoever wanted the session
// has gone, or wants its end.
func (w *watchdog) watch(wanted io.Reader) {
	w.born = notOpen
	go func() {
		_, _ = io.Copy(io.Discard, wanted)
		if !w.state.CompareAndSwap(watching, biting) {
			return
		}
		for end := time.Now().Add(biteTime); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			if command := atomic.LoadInt32(&w.born); command != notOpen {
				_ = unix.PidfdSendSignal(int(command), unix.SIGKILL, nil, 0)
			}
			killAll(os.Getpid())
		}
		os.Exit(1)
	}()
}

// child is where the pidfd of the command is to be stored.
func (w *watchdog) child() *int32 { return &w.born }

// leave has the watchdog not bite any more, and reports whether it had not begun to.
func (w *watchdog) leave() bool { return w.state.CompareAndSwap(watching, gone) }

// killAll kills all descendants of a process, and returns how many had not ended.
// Some may have started others meanwhile: it is to be called until there are none.
func killAll(ancestor int) (living int) {
	for queue := []int{ancestor}; len(queue) > 0; queue = queue[1:] {
		for _, pid := range children(queue[0]) {
			if killChild(queue[0], pid) {
				living++
			}
			queue = append(queue, pid)
		}
	}
	return living
}

// killChild kills a process if it is the child of this parent, and reports whether
// it had not ended. Its number may have come to be another one's since it was seen.
func killChild(parent, pid int) (living bool) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	if !slices.Contains(children(parent), pid) {
		return true // look again
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil || statState(stat) == 'Z' {
		return false
	}
	_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	return true
}
