// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package seccomp

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Filter says which system calls fail, and how. It is plain data: Compile makes
// a program of it.
type Filter struct {
	Rules []Rule `json:"rules"`
	// Unknown is what numbers fail with that the architecture's table does not
	// have; 0 admits them.
	Unknown unix.Errno `json:"unknown,omitempty"`
}

// Deny makes a filter by which the calls fail with EPERM.
func Deny(names ...string) *Filter {
	f := &Filter{Rules: []Rule{}}
	for _, name := range names {
		f.Rules = append(f.Rules, Rule{Syscall: name})
	}
	return f
}

// Combine makes a filter that denies what any of the groups denies.
func Combine(groups ...*Group) *Filter {
	f := Deny()
	for _, g := range groups {
		for _, e := range g.Entries {
			f.Rules = append(f.Rules, e.Rule)
		}
		if f.Unknown == 0 {
			f.Unknown = g.Unknown
		}
	}
	return f
}

// Rule makes a system call fail. If several rules name the same call, it is
// admitted only if each of them admits it; the first one that does not says
// what it fails with.
type Rule struct {
	Syscall string `json:"syscall"`
	// Errno is what the call fails with; 0 stands for EPERM.
	Errno unix.Errno `json:"errno,omitempty"`
	// Admit are the calls that do not fail after all: those whose arguments
	// fulfill any of the conditions.
	Admit []Args `json:"admit,omitempty"`
}

// Args is a condition on the arguments of a call. It holds if it holds for
// each.
type Args []Arg

// Arg is a condition on one argument of a call. It looks at 32 of the 64 bits:
// the lower ones are all that the kernel takes of an int.
type Arg struct {
	Index int `json:"index"` // 0 to 5
	// High: it looks at the upper 32 bits, of a pointer or a long.
	High bool `json:"high,omitempty"`
	// Mask are the bits that matter; 0 stands for all.
	Mask uint32 `json:"mask,omitempty"`
	// Values of which the argument must be one, or none if Not is set.
	Values []uint32 `json:"values"`
	Not    bool     `json:"not,omitempty"`
}

// Is holds if the argument is one of the values.
func Is(index int, values ...uint32) Arg { return Arg{Index: index, Values: values} }

// IsNot holds if the argument is none of the values.
func IsNot(index int, values ...uint32) Arg { return Arg{Index: index, Values: values, Not: true} }

// MaskedIs holds if the argument, of which only the bits of the mask matter, is one
// of the values.
func MaskedIs(index int, mask uint32, values ...uint32) Arg {
	return Arg{Index: index, Mask: mask, Values: values}
}

// MaskedIsNot holds if the argument, of which only the bits of the mask matter, is none
// of the values.
func MaskedIsNot(index int, mask uint32, values ...uint32) Arg {
	return Arg{Index: index, Mask: mask, Values: values, Not: true}
}

// UpperHalf makes a condition on the upper half of the argument.
func (a Arg) UpperHalf() Arg {
	a.High = true
	return a
}

func (r *Rule) action() Action {
	if r.Errno == 0 {
		return Errno(unix.EPERM)
	}
	return Errno(r.Errno)
}

func (r *Rule) validate() error {
	if !known(r.Syscall) {
		return fmt.Errorf("seccomp: unknown system call %q", r.Syscall)
	}
	// MAX_ERRNO of linux/err.h: the kernel answers with it instead of a higher one.
	const most = 4095
	if r.Errno > most {
		return fmt.Errorf("seccomp: %s: error number %d, expected at most %d", r.Syscall, int(r.Errno), most)
	}
	for _, args := range r.Admit {
		if len(args) == 0 {
			return fmt.Errorf("seccomp: %s: a condition without arguments admits every call", r.Syscall)
		}
		for _, arg := range args {
			if arg.Index < 0 || arg.Index > 5 {
				return fmt.Errorf("seccomp: %s: argument %d, expected 0 to 5", r.Syscall, arg.Index)
			}
			if len(arg.Values) == 0 {
				return fmt.Errorf("seccomp: %s: no values to compare argument %d with", r.Syscall, arg.Index)
			}
			for _, v := range arg.Values {
				if arg.Mask != 0 && v&^arg.Mask != 0 {
					return fmt.Errorf("seccomp: %s: argument %d: %#x is never the value of an argument masked with %#x", r.Syscall, arg.Index, v, arg.Mask)
				}
			}
		}
	}
	return nil
}

// String prints the rule: "clone3=ENOSYS", or "personality{arg0 is 0x0,0x8}"
// for a call that is admitted under a condition.
func (r Rule) String() string {
	s := r.Syscall
	if r.Errno != 0 && r.Errno != unix.EPERM {
		s += "=" + unix.ErrnoName(r.Errno)
	}
	if len(r.Admit) == 0 {
		return s
	}
	var conditions []string
	for _, args := range r.Admit {
		conditions = append(conditions, args.String())
	}
	return s + "{" + strings.Join(conditions, " or ") + "}"
}

// String prints the condition.
func (a Args) String() string {
	var parts []string
	for _, arg := range a {
		parts = append(parts, arg.String())
	}
	return strings.Join(parts, " and ")
}

// String prints the condition.
func (a Arg) String() string {
	s := fmt.Sprintf("arg%d", a.Index)
	if a.High {
		s += ">>32"
	}
	if a.Mask != 0 {
		s += fmt.Sprintf("&%#x", a.Mask)
	}
	if a.Not {
		s += " not"
	} else {
		s += " is"
	}
	var values []string
	for _, v := range a.Values {
		values = append(values, fmt.Sprintf("%#x", v))
	}
	return s + " " + strings.Join(values, ",")
}

// Group is a named list of rules, each with its reason.
type Group struct {
	Name    string
	Entries []Entry
	// Unknown is what numbers fail with that the architecture's table does not
	// have; 0 admits them.
	Unknown unix.Errno
}

// Entry is a rule, and what a program could do without it.
type Entry struct {
	Rule
	Why string
}

// group makes a group of the entries, in the order of their system calls.
func group(name string, entries ...[]Entry) *Group {
	g := &Group{Name: name, Entries: slices.Concat(entries...)}
	slices.SortStableFunc(g.Entries, func(a, b Entry) int { return strings.Compare(a.Syscall, b.Syscall) })
	return g
}

// unknown sets what numbers fail with that the table does not have.
func (g *Group) unknown(errno unix.Errno) *Group {
	g.Unknown = errno
	return g
}

// deny is an entry by which a call fails with EPERM.
func deny(name, why string) Entry { return Entry{Rule{Syscall: name}, why} }

// with answers another error number than EPERM.
func (e Entry) with(errno unix.Errno) Entry {
	e.Errno = errno
	return e
}

// unless admits a call whose arguments fulfill the condition; said again, it
// adds another condition under which it is admitted.
func (e Entry) unless(args ...Arg) Entry {
	e.Admit = append(slices.Clone(e.Admit), args)
	return e
}

// Names returns the system calls of the group, sorted.
func (g *Group) Names() []string {
	names := make([]string, len(g.Entries))
	for i, e := range g.Entries {
		names[i] = e.Syscall
	}
	return names
}

// String prints the group's rules in one line.
func (g *Group) String() string {
	var rules []string
	for _, e := range g.Entries {
		rules = append(rules, e.String())
	}
	if g.Unknown != 0 {
		rules = append(rules, "unknown="+unix.ErrnoName(g.Unknown))
	}
	return strings.Join(rules, " ")
}
