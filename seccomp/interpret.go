// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package seccomp

import "fmt"

// Data is what a filter sees of a system call (struct seccomp_data).
type Data struct {
	Number             uint32
	Arch               uint32
	InstructionPointer uint64
	Args               [6]uint64
}

// Run runs the program as the kernel would and returns its answer, so that a
// filter can be checked without a kernel. It returns an error where the kernel
// would refuse the program.
func (p Program) Run(data Data) (Action, error) {
	var a uint32
	for pc := 0; pc < len(p); pc++ {
		in := p[pc]
		switch in.Code {
		case opLoad:
			v, err := data.load(in.K)
			if err != nil {
				return 0, fmt.Errorf("seccomp: instruction %d: %w", pc, err)
			}
			a = v
		case opAnd:
			a &= in.K
		case opEqual:
			pc += branch(a == in.K, in.Jt, in.Jf)
		case opMin:
			pc += branch(a >= in.K, in.Jt, in.Jf)
		case opJump:
			pc += int(in.K)
		case opRet:
			return Action(in.K), nil
		default:
			return 0, fmt.Errorf("seccomp: instruction %d: unknown code %#x", pc, in.Code)
		}
	}
	return 0, fmt.Errorf("seccomp: the program of %d instructions ends without an answer", len(p))
}

func branch(condition bool, jt, jf uint8) int {
	if condition {
		return int(jt)
	}
	return int(jf)
}

// load reads a 32 bit word of struct seccomp_data, as a little endian machine
// lays it out.
func (d *Data) load(offset uint32) (uint32, error) {
	switch {
	case offset%4 != 0 || offset >= 64:
		return 0, fmt.Errorf("load of offset %d, expected a multiple of 4 below 64", offset)
	case offset == offsetNumber:
		return d.Number, nil
	case offset == offsetArch:
		return d.Arch, nil
	}
	words := [7]uint64{d.InstructionPointer, d.Args[0], d.Args[1], d.Args[2], d.Args[3], d.Args[4], d.Args[5]}
	return uint32(words[(offset-8)/8] >> (8 * (offset % 8))), nil
}
