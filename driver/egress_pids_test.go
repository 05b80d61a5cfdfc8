// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"fmt"
	"strings"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/internal/nettest"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// A limit of processes that leaves no room for the forwarder refuses the task by its field;
// the least that is admitted leaves a network.
func TestEgressPidsLimit(t *testing.T) {
	h := egressHarness(t, nil, "api.example.com")
	port := nettest.Hello(t)
	task := func(limit int64) TaskConfig {
		c := withEgress(fmt.Sprintf("for i in 1 2 3 4 5 6 7 8; do curl -s --max-time 60 http://api.example.com:%d/ || echo $?; done; echo; echo end", port),
			&policy.Egress{Allow: []string{fmt.Sprintf("api.example.com:%d", port), fmt.Sprintf("127.0.0.1:%d", port)}})
		c.PidsLimit = limit
		return c
	}
	_, _, err := h.StartTask(h.task(task(leastForEgress - 1)))
	wantError(t, "too few", err, "pids_limit", fmt.Sprint(leastForEgress-1), fmt.Sprint(leastForEgress), "egress")
	cfg := h.task(task(leastForEgress))
	h.start(cfg)
	h.wait(cfg.ID)
	if out := h.log(cfg, "stdout", "end\n"); strings.Count(out, fmt.Sprintf("hello api.example.com:%d\n", port)) != 8 {
		t.Errorf("with the least: %q, want 8 answers", out)
	}
	// The operator's limit is one as well.
	h = egressHarness(t, func(c *Config) { c.PidsLimit = leastForEgress - 1 }, "api.example.com")
	_, _, err = h.StartTask(h.task(task(0)))
	wantError(t, "the operator's", err, "pids_limit", "plugin option", "egress")
}

// leastForEgress is the least pids_limit of a task with egress.
const leastForEgress = 32
