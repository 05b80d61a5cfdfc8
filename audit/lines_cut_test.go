// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package audit

import (
	"strings"
	"testing"
)

// A line that a full disk has cut short costs no other line, and says that there was
// more. What was never a list of denials is none.
func TestReadLinesPassesOverALineThatIsCut(t *testing.T) {
	const line = `{"time":"2026-01-02T03:04:05Z","kind":"path","rights":["fs.read_file"],"path":"/etc/x","count":1,"task":"t","task_dir":"/t"}`
	for _, text := range []string{
		line + "\n" + line[:40] + line + "\n" + line + "\n",
		line + "\n" + line[:40] + "\n" + line + "\n",
		line + "\n" + line + "\n" + line[:40],
	} {
		lines, err := ReadLines(strings.NewReader(text))
		whole, cut := 0, 0
		for _, l := range lines {
			if l.Truncated {
				cut++
			} else if l.Path == "/etc/x" {
				whole++
			}
		}
		if err != nil || whole != 2 || cut != 1 {
			t.Errorf("%q: %+v, %v", text, lines, err)
		}
	}
	if lines, err := ReadLines(strings.NewReader("half a line\n")); err == nil {
		t.Errorf("what is no list: %+v", lines)
	}
}
