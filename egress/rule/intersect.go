// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package rule

import "slices"

// Beyond are the rules that the set's own Allow does not cover: what a request asks
// for that a ceiling does not admit.
func (s *Set) Beyond(allow []Rule) []Rule {
	var beyond []Rule
	for _, r := range allow {
		if !s.Covers(r) {
			beyond = append(beyond, r)
		}
	}
	return beyond
}

// Covers reports whether the set admits all that a rule matches, but for what its
// Deny takes away, which an intersection has as well.
//
// That others are admitted covers no rule for addresses, as long as private ones are
// not: the rule would admit these as well, and the machine's own.
func (s *Set) Covers(r Rule) bool {
	return slices.ContainsFunc(s.Allow, func(own Rule) bool { return own.covers(r) }) ||
		s.Others && (r.Name != "" || s.Private)
}

// Intersect is what both sets admit. The request's Allow must be covered, see Beyond.
// That the request admits others, or private addresses, is taken away where the
// ceiling does not.
func Intersect(ceiling, request *Set) *Set {
	return &Set{
		Allow:   slices.Clone(request.Allow),
		Deny:    union(request.Deny, ceiling.Deny),
		Others:  ceiling.Others && request.Others,
		Private: ceiling.Private && request.Private,
	}
}

func union(a, b []Rule) []Rule {
	out := slices.Clone(a)
	for _, r := range b {
		if !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	return out
}
