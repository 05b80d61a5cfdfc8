// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package seccomp

import "golang.org/x/sys/unix"

// Only makes a filter by which all calls fail but those of the rules, and these unless
// their arguments are admitted: a rule without Admit admits every argument. It is for
// programs whose every call is known.
//
// What fails answers EPERM, and a number that the tables do not have ENOSYS.
func Only(rules ...Rule) *Filter {
	f := &Filter{Rules: []Rule{}, Unknown: unix.ENOSYS}
	admitted := map[string]bool{}
	for _, r := range rules {
		admitted[r.Syscall] = true
		if len(r.Admit) > 0 || !known(r.Syscall) { // Compile says that there is no such call
			f.Rules = append(f.Rules, r)
		}
	}
	for _, arch := range []*Arch{AMD64, ARM64} {
		for _, call := range arch.table {
			if !admitted[call.name] {
				admitted[call.name] = true // once, though two tables have it
				f.Rules = append(f.Rules, Rule{Syscall: call.name})
			}
		}
	}
	return f
}

// Admit makes the rules of calls with whatever arguments.
func Admit(names ...string) []Rule {
	var rules []Rule
	for _, name := range names {
		rules = append(rules, Rule{Syscall: name})
	}
	return rules
}
