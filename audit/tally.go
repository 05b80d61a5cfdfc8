// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package audit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Tally counts denials: those of the same thing are one.
type Tally struct {
	counted []*Denial
	index   map[string]*Denial
	// Omitted is how many denials were not counted by themselves, since there
	// were too many different ones.
	Omitted int
}

// MaxTally is how many different denials are counted.
const MaxTally = 512

// Add counts a denial. It keeps the time and the process of the first.
func (t *Tally) Add(d Denial) {
	key := fmt.Sprint(d.Kind, d.Rights, d.Port, " ", d.Path, d.Host)
	if known := t.index[key]; known != nil {
		known.Count += d.Count
		return
	}
	if len(t.counted) == MaxTally {
		t.Omitted += d.Count
		return
	}
	if t.index == nil {
		t.index = map[string]*Denial{}
	}
	t.index[key] = &d
	t.counted = append(t.counted, &d)
}

// Empty reports whether nothing was counted.
func (t *Tally) Empty() bool { return len(t.counted) == 0 }

// Denials are what was counted, in the order in which it was first denied.
func (t *Tally) Denials() []Denial {
	out := make([]Denial, len(t.counted))
	for i, d := range t.counted {
		out[i] = *d
	}
	return out
}

// Summary names the most frequent denials: "fs.write_file /etc/passwd (3
// times), the system call mount, and 4 others".
func (t *Tally) Summary() string {
	const named, longest = 4, 160
	all := slices.Clone(t.counted)
	slices.SortStableFunc(all, func(a, b *Denial) int { return cmp.Compare(b.Count, a.Count) })
	var parts []string
	for _, d := range all[:min(named, len(all))] {
		text := d.String()
		if runes := []rune(text); len(runes) > longest {
			text = string(runes[:longest]) + "..."
		}
		if d.Count > 1 {
			text += fmt.Sprintf(" (%d times)", d.Count)
		}
		parts = append(parts, text)
	}
	switch rest := len(all) - named; {
	case t.Omitted > 0:
		parts = append(parts, "and many others")
	case rest == 1:
		parts = append(parts, "and another one")
	case rest > 1:
		parts = append(parts, fmt.Sprintf("and %d others", rest))
	}
	return strings.Join(parts, ", ")
}
