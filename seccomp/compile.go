// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package seccomp

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"golang.org/x/sys/unix"
)

// Compile makes a program of a filter: it answers the calls of its rules with
// their error numbers, and allows the others. A call that the architecture does
// not have (but another one has) is left out; an unknown name is an error.
//
// The program checks the architecture, then searches the number in a balanced
// tree, so that it takes about log2 of the list's length steps. For a list of
// two calls, 101 and 165, that is:
//
//	load arch; if it is another one: KILL_PROCESS
//	load number; if it is x32's: KILL_PROCESS
//	               >= 102?
//	        no  /          \  yes
//	        >= 101?        >= 165?
//	     no /   \ yes    no /   \ yes
//	    ALLOW  EPERM    ALLOW  >= 166?
//	                        no /   \ yes
//	                       EPERM  ALLOW
//
// A call that is admitted by its arguments has, in place of an answer, the
// instructions that look at them. No other call gets there, so that the kernel
// goes on to remember its answer for all others.
func Compile(arch *Arch, f *Filter) (Program, error) {
	leaves, err := f.leaves(arch)
	if err != nil {
		return nil, err
	}
	program := Program{
		{Code: opLoad, K: offsetArch},
		{Code: opEqual, K: arch.Audit, Jt: 1},
		ret(KillProcess),
		{Code: opLoad, K: offsetNumber},
	}
	if arch.ForeignFrom != 0 {
		program = append(program,
			unix.SockFilter{Code: opMin, K: arch.ForeignFrom, Jf: 1},
			ret(KillProcess),
		)
	}
	program = append(program, tree(f.intervals(arch, leaves))...)
	if len(program) > unix.BPF_MAXINSNS {
		return nil, fmt.Errorf("seccomp: %d rules make a filter of %d instructions, the kernel takes %d",
			len(f.Rules), len(program), unix.BPF_MAXINSNS)
	}
	return program, nil
}

func ret(a Action) unix.SockFilter { return unix.SockFilter{Code: opRet, K: uint32(a)} }

// leaf is the answer to one number.
type leaf struct {
	number  uint32
	program Program
}

// leaves compiles the rules of each number, in ascending order.
func (f *Filter) leaves(arch *Arch) ([]leaf, error) {
	type numbered struct {
		number uint32
		rule   *Rule
	}
	rules := make([]numbered, 0, len(f.Rules))
	for i := range f.Rules {
		r := &f.Rules[i]
		if err := r.validate(); err != nil {
			return nil, err
		}
		if number, ok := arch.Number(r.Syscall); ok {
			rules = append(rules, numbered{number, r})
		}
	}
	slices.SortStableFunc(rules, func(a, b numbered) int { return cmp.Compare(a.number, b.number) })
	leaves := make([]leaf, 0, len(rules))
	same := make([]*Rule, 0, len(f.Rules)) // those of one number
	for i, r := range rules {
		same = append(same, r.rule)
		if i+1 < len(rules) && rules[i+1].number == r.number {
			continue
		}
		program, err := compileRules(same)
		if err != nil {
			return nil, fmt.Errorf("seccomp: %s: %w", arch.Syscall(r.number), err)
		}
		leaves, same = append(leaves, leaf{r.number, program}), same[:0]
	}
	return leaves, nil
}

// interval is a range of numbers with the same answer, up to the next one.
type interval struct {
	from uint32
	leaf Program
}

// intervals covers all numbers.
func (f *Filter) intervals(arch *Arch, leaves []leaf) []interval {
	all := make([]interval, 0, 2*len(leaves)+2)
	add := func(from uint32, leaf Program) {
		if n := len(all); n == 0 || !slices.Equal(all[n-1].leaf, leaf) {
			all = append(all, interval{from, leaf})
		}
	}
	allow, unknown := Program{ret(Allow)}, Program{ret(Allow)}
	if f.Unknown != 0 {
		unknown = Program{ret(Errno(f.Unknown))}
	}
	next := uint32(0) // the first number that is not covered
	for _, number := range arch.numbers() {
		if number > next {
			add(next, unknown)
		}
		if len(leaves) > 0 && leaves[0].number == number {
			add(number, leaves[0].program)
			leaves = leaves[1:]
		} else {
			add(number, allow)
		}
		next = number + 1
	}
	add(next, unknown)
	return all
}

// tree searches the loaded number in the intervals.
func tree(in []interval) Program {
	if len(in) == 1 {
		return in[0].leaf
	}
	middle := len(in) / 2
	below, above := tree(in[:middle]), tree(in[middle:])

	compare := unix.SockFilter{Code: opMin, K: in[middle].from}
	if len(below) <= math.MaxUint8 {
		compare.Jt = uint8(len(below))
		return slices.Concat(Program{compare}, below, above)
	}
	// A conditional jump reaches 255 instructions: go on by an unconditional one.
	compare.Jf = 1
	far := unix.SockFilter{Code: opJump, K: uint32(len(below))}
	return slices.Concat(Program{compare, far}, below, above)
}

// compileRules makes the instructions that answer a call that the rules name.
func compileRules(rules []*Rule) (Program, error) {
	// Nothing that others admit changes the answer of a rule that admits nothing.
	for _, r := range rules {
		if len(r.Admit) == 0 {
			return Program{ret(r.action())}, nil
		}
	}
	if len(rules) == 0 {
		return Program{ret(Allow)}, nil
	}
	next, err := compileRules(rules[1:])
	if err != nil {
		return nil, err
	}
	// From the end to the beginning, since jumps lead forward: what is admitted
	// goes on with the next rule, which comes behind this one's answer.
	program := Program{ret(rules[0].action())}
	for _, args := range slices.Backward(rules[0].Admit) {
		condition := Program{{Code: opJump, K: uint32(len(program))}}
		for _, arg := range slices.Backward(args) {
			if condition, err = arg.compile(condition); err != nil {
				return nil, err
			}
		}
		program = slices.Concat(condition, program)
	}
	return slices.Concat(program, next), nil
}

// compile puts the condition on an argument before the instructions for what
// fulfills it; what does not is led past them.
func (a *Arg) compile(then Program) (Program, error) {
	load := unix.SockFilter{Code: opLoad, K: offsetArgs + 8*uint32(a.Index)}
	if a.High { // of a little endian word
		load.K += 4
	}
	program := Program{load}
	if a.Mask != 0 {
		program = append(program, unix.SockFilter{Code: opAnd, K: a.Mask})
	}
	for i, v := range a.Values {
		left := len(a.Values) - 1 - i // comparisons
		compare := unix.SockFilter{Code: opEqual, K: v}
		if left+len(then) > math.MaxUint8 {
			return nil, fmt.Errorf("the conditions on its arguments are too long")
		}
		switch {
		case a.Not:
			compare.Jt = uint8(left + len(then))
		case left > 0:
			compare.Jt = uint8(left)
		default:
			compare.Jf = uint8(len(then))
		}
		program = append(program, compare)
	}
	return slices.Concat(program, then), nil
}
