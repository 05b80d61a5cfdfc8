// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A supervisor that has not all of the files which it was sent starts nothing: none is
// for nothing, those either that are only to be held open.
func TestFilesThatAreLost(t *testing.T) {
	f := newFixture(t)
	const held = 60
	for name, tc := range map[string]struct {
		lose func(h *halfStarted) error
		want string
	}{
		"none": {func(*halfStarted) error { return nil }, ""},
		"not sent": {func(h *halfStarted) error {
			h.passed = h.passed[:len(h.passed)-1]
			return nil
		}, "descriptors came with it, expected"},
		"no room for them": {func(h *halfStarted) error {
			return unix.Prlimit(h.supervisor.PID, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: held, Max: held}, nil)
		}, "not all descriptors"},
	} {
		t.Run(name, func(t *testing.T) {
			plan := f.plan("true")
			for range held {
				plan.Held = append(plan.Held, os.Stdin)
			}
			h := f.halfStart("half", plan)
			if err := tc.lose(h); err != nil {
				t.Fatal(err)
			}
			encoded, err := instruct("half", plan, h.inherited)
			if err != nil {
				t.Fatal(err)
			}
			if err := h.supervisor.instruct(encoded, h.passed); err != nil {
				t.Fatal(err)
			}
			st, err := h.supervisor.status()
			if err != nil {
				t.Fatal(err)
			}
			if tc.want == "" && st.Error != "" || !strings.Contains(st.Error, tc.want) {
				t.Errorf("it says %q, want %q", st.Error, tc.want)
			}
			h.supervisor.end()
			if err := Remove("half", h.dir, ""); err != nil {
				t.Error(err)
			}
		})
	}
}
