// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package policy

import "testing"

// ImaginaryField adds a row to the table for the time of a test: a list of paths that limits
// itself, for which no policy has a member. It is what an author of a field writes.
func ImaginaryField(t *testing.T) *[]string {
	t.Helper()
	value := new([]string)
	before := Fields()
	rows.fields = append(append([]Field{}, before...), Field{
		Name: "imaginary_roots", Kind: Paths, Role: ReadRole, Since: 6,
		Text: "places that are imagined", Absent: "none", Empty: "none", Ceiling: "within those of the ceiling", Kernel: "nothing",
		value: func(*Policy) any { return value },
		limit: func(*Policy) limit[string] { return limitOf([]string{"/srv/admitted"}) },
	})
	t.Cleanup(func() { rows.fields = before })
	return value
}
