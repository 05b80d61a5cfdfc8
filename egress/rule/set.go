// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package rule

import (
	"fmt"
	"net/netip"
	"slices"
)

// Set decides about hosts, ports and addresses. A rule of Deny beats all of Allow.
type Set struct {
	Allow []Rule `json:"allow,omitempty"`
	Deny  []Rule `json:"deny,omitempty"`
	// Others: what no rule matches is admitted.
	Others bool `json:"others,omitempty"`
	// Private: a name may resolve to addresses that are not of the public internet,
	// see [IsPrivate]. Otherwise it takes a rule of Allow for the address.
	Private bool `json:"private,omitempty"`
}

// Verdict is a decision, with its reason.
type Verdict struct {
	Admitted bool
	// Rule is the one that has decided, if one has.
	Rule *Rule
	// Reason says why it is not admitted.
	Reason string
}

// NoRule is Harn's reason for what no rule names.
const NoRule = "no allow rule matched"

func denied(by *Rule) Verdict {
	return Verdict{Rule: by, Reason: fmt.Sprintf("matched deny rule `%v`", *by)}
}

// first is the first rule for which match holds, nil if there is none.
func first(rules []Rule, match func(Rule) bool) *Rule {
	if i := slices.IndexFunc(rules, match); i >= 0 {
		return &rules[i]
	}
	return nil
}

// Host decides about a name and a port. The name is one that [Name] has returned.
func (s *Set) Host(name string, port uint16) Verdict {
	match := func(r Rule) bool { return r.on(port) && r.matchesName(name) }
	if deny := first(s.Deny, match); deny != nil {
		return denied(deny)
	}
	if allow := first(s.Allow, match); allow != nil || s.Others {
		return Verdict{Admitted: true, Rule: allow}
	}
	return Verdict{Reason: NoRule}
}

// Lookup decides whether a name may be looked up: whether it is admitted on any port.
func (s *Set) Lookup(name string) Verdict {
	if deny := first(s.Deny, func(r Rule) bool { return r.Port == 0 && r.matchesName(name) }); deny != nil {
		return denied(deny)
	}
	if s.Others { // all ports but for a few
		return Verdict{Admitted: true}
	}
	var last Verdict
	for i := range s.Allow {
		allow := &s.Allow[i]
		if !allow.matchesName(name) {
			continue
		}
		if allow.Port == 0 {
			return Verdict{Admitted: true, Rule: allow}
		}
		if last = s.Host(name, allow.Port); last.Admitted {
			return last
		}
	}
	if last.Reason == "" {
		last.Reason = NoRule
	}
	return last
}

// Alias decides about a name that an admitted one is another name of (CNAME): it needs
// no rule, but one of Deny holds for it as well.
func (s *Set) Alias(name string, port uint16) Verdict {
	if deny := first(s.Deny, func(r Rule) bool { return r.on(port) && r.matchesName(name) }); deny != nil {
		return denied(deny)
	}
	return Verdict{Admitted: true}
}

// Address decides about an address that an admitted name has resolved to. own says
// that it is one of this machine's.
func (s *Set) Address(address netip.Addr, port uint16, own bool) Verdict {
	if deny := s.denies(address, port); deny != nil {
		return denied(deny)
	}
	if allow := first(s.Allow, func(r Rule) bool { return r.on(port) && r.matchesAddress(address) }); allow != nil {
		return Verdict{Admitted: true, Rule: allow}
	}
	switch {
	case s.Private:
	case IsPrivate(address):
		return Verdict{Reason: fmt.Sprintf("%v is a %s address, and no rule admits it", plain(address), special(address))}
	case own:
		return Verdict{Reason: fmt.Sprintf("%v is an address of this node, and no rule admits it", plain(address))}
	}
	return Verdict{Admitted: true}
}

// denies returns the first rule of Deny for an address, or for one of IPv4 that it stands
// for, nil if there is none.
func (s *Set) denies(address netip.Addr, port uint16) *Rule {
	four, hidden := embedded(address)
	return first(s.Deny, func(r Rule) bool {
		return r.on(port) && (r.matchesAddress(address) || hidden && r.matchesAddress(four))
	})
}

// Direct decides about a connection that is made by the address, without a name.
func (s *Set) Direct(address netip.Addr, port uint16, own bool) Verdict {
	if v := s.Address(address, port, own); v.Rule != nil || s.Others {
		return v
	}
	return Verdict{Reason: NoRule}
}

// AddressRules are the addresses that rules of Allow name: those that a program can
// connect to without a name.
func (s *Set) AddressRules() []netip.Prefix {
	var prefixes []netip.Prefix
	for _, r := range s.Allow {
		if r.Name == "" && !slices.Contains(prefixes, r.Addresses) {
			prefixes = append(prefixes, r.Addresses)
		}
	}
	return prefixes
}

// Names are the names of rules of Allow that match one alone.
func (s *Set) Names() []string {
	var names []string
	for _, r := range s.Allow {
		if r.Name != "" && !r.Below && !slices.Contains(names, r.Name) {
			names = append(names, r.Name)
		}
	}
	return names
}
