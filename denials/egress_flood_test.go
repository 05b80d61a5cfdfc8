// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package denials

import (
	"strings"
	"testing"
)

// A forwarder that was taken over neither fills the agent's log nor silences what is
// denied after a line that is too long.
func TestFloodOfAForwarder(t *testing.T) {
	for name, long := range map[string]string{
		"short lines":       "",
		"a long line":       strings.Repeat("x", 100<<10) + "\n",
		"a very long event": `{"Failed":true,"Reason":"` + strings.Repeat("x", 1<<20) + "\"}\n",
	} {
		t.Run(name, func(t *testing.T) {
			w := New(nil)
			r := watched(t, w, Task{Name: "t"})
			warnings, times := 0, 0
			r.warn = func(_ string, args ...any) {
				warnings++
				for i, arg := range args {
					if arg == "times" {
						times += args[i+1].(int)
					}
				}
			}
			const failures = 10000
			flood := strings.Repeat(`{"Failed":true,"Reason":"ended"}`+"\n", failures)
			r.readEgress(strings.NewReader(flood + long + `{"Name":"evil.example.com","Port":443}` + "\n"))
			r.finish()
			if warnings < 1 || warnings > 2 || times != failures {
				t.Errorf("%d warnings of %d failures, expected 1 or 2 of %d", warnings, times, failures)
			}
			if lines := listed(t, r); len(lines) != 1 || lines[0].Host != "evil.example.com" {
				t.Errorf("listed: %+v", lines)
			}
		})
	}
}
