// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package denials

import (
	"io"
	"time"

	"github.com/burin-labs/nomad-driver-harn/audit"
	"github.com/burin-labs/nomad-driver-harn/egress"
)

// egressDenial is an event of a forwarder as a denial, false if it is none.
func egressDenial(e *egress.Event) (audit.Denial, bool) {
	if !e.Denied() || e.Host() == "" {
		return audit.Denial{}, false
	}
	return audit.Denial{
		Time: e.Time, Kind: audit.Egress, Rights: []string{audit.EgressRight}, Host: e.Host(), Port: int(e.Port), Reason: e.Reason, Count: max(e.Count, 1),
	}, true
}

// failurePause is the time between warnings of one forwarder: whoever has taken it over
// says what they like, as often as they like.
const failurePause = time.Minute

// readEgress reports what a task's forwarder has refused, until its end.
func (r *report) readEgress(events io.Reader) {
	var failures int // since the last warning
	var warned time.Time
	var last string
	warn := func() {
		r.warn("the forwarder of a task's egress has ended, and is started again", "task_id", r.ID, "error", last, "times", failures)
		failures, warned = 0, time.Now()
	}
	egress.ReadEvents(events, func(e *egress.Event) {
		if d, ok := egressDenial(e); ok {
			r.add([]audit.Denial{d})
			return
		}
		if e.Failed && e.Host() == "" {
			failures++
			last = e.String()
			if time.Since(warned) >= failurePause {
				warn()
			}
		}
	})
	if failures > 0 {
		warn()
	}
}
