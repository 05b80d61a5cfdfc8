// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package seccomp

import (
	"fmt"
	"math"
	"slices"

	"golang.org/x/sys/unix"
)

// Compile makes a filter that answers the system calls named in deny with
// EPERM and allows the others. A name that the architecture does not have (but
// another one has) is left out; an unknown name is an error.
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
func Compile(arch *Arch, deny []string) (Program, error) {
	numbers := make([]uint32, 0, len(deny))
	for _, name := range deny {
		number, ok := arch.Number(name)
		if !ok {
			if !known(name) {
				return nil, fmt.Errorf("seccomp: unknown system call %q", name)
			}
			continue
		}
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)

	program := Program{
		{Code: opLoad, K: offsetArch},
		{Code: opEqual, K: arch.Audit, Jt: 1},
		{Code: opRet, K: uint32(KillProcess)},
		{Code: opLoad, K: offsetNumber},
	}
	if arch.ForeignFrom != 0 {
		program = append(program,
			unix.SockFilter{Code: opMin, K: arch.ForeignFrom, Jf: 1},
			unix.SockFilter{Code: opRet, K: uint32(KillProcess)},
		)
	}
	program = append(program, tree(intervals(numbers))...)
	if len(program) > unix.BPF_MAXINSNS {
		return nil, fmt.Errorf("seccomp: %d system calls make a filter of %d instructions, the kernel takes %d",
			len(numbers), len(program), unix.BPF_MAXINSNS)
	}
	return program, nil
}

// interval is a range of numbers with the same answer, up to the next one.
type interval struct {
	from   uint32
	action Action
}

// intervals covers all numbers, given those to deny in ascending order.
func intervals(deny []uint32) []interval {
	all := []interval{{0, Allow}}
	for _, n := range deny {
		if all[len(all)-1].from == n { // nothing is left to allow in between
			all = all[:len(all)-1]
		}
		if len(all) == 0 || all[len(all)-1].action == Allow {
			all = append(all, interval{n, Errno(unix.EPERM)})
		}
		all = append(all, interval{n + 1, Allow})
	}
	return all
}

// tree searches the loaded value in the intervals.
func tree(in []interval) Program {
	if len(in) == 1 {
		return Program{{Code: opRet, K: uint32(in[0].action)}}
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
