// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package attack

import "github.com/burin-labs/nomad-driver-harn/landlock"

// Verdict is what an attack comes to under a profile.
type Verdict string

// The verdicts.
const (
	Refused       Verdict = "refused"        // as it must be
	NotStarted    Verdict = "no start"       // nor does any task, under this profile on this kernel
	Admitted      Verdict = "admitted"       // as the policy, or the documentation, says
	NotApplicable Verdict = "n/a"            // its control fails, too
	Escaped       Verdict = "ESCAPED"        // it got through
	Broken        Verdict = "NOT ADMITTED"   // the policy admits it, or its sibling, but it does not work
	Missing       Verdict = "WITHOUT RESULT" // it was not run
)

// Failure reports whether nothing may come to this.
func (v Verdict) Failure() bool {
	return v == Escaped || v == Broken || v == Missing
}

// Cell is an attack under a profile.
type Cell struct {
	Verdict Verdict `json:"verdict"`
	Answer  string  `json:"answer,omitempty"` // what the kernel said
	Why     string  `json:"why,omitempty"`
}

// String is the kernel's answer to what was refused, and the verdict else.
func (c Cell) String() string {
	switch c.Verdict {
	case Refused:
		return c.Answer
	case Admitted, NotApplicable, NotStarted:
		return string(c.Verdict)
	}
	return string(c.Verdict) + " " + c.Answer
}

// Results are attack by profile, on a kernel.
type Results struct {
	Kernel  string                     `json:"kernel"`
	ABI     landlock.ABI               `json:"landlock_abi"`
	Columns []string                   `json:"columns"` // profiles
	Attacks map[string]string          `json:"attacks"` // name: description
	Cells   map[string]map[string]Cell `json:"cells"`   // name, column
}

// Count is how many attacks have each verdict under a profile.
func (r *Results) Count(column string) map[Verdict]int {
	count := map[Verdict]int{}
	for _, cells := range r.Cells {
		if c, ok := cells[column]; ok {
			count[c.Verdict]++
		}
	}
	return count
}
