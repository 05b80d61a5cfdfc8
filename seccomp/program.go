// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package seccomp

import (
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Program is a seccomp filter: classic BPF over struct seccomp_data.
type Program []unix.SockFilter

// Action is what a filter answers: one of SECCOMP_RET_*, with its data in the
// lower 16 bits.
type Action uint32

// The actions that compiled filters answer with.
const (
	Allow       Action = unix.SECCOMP_RET_ALLOW
	KillProcess Action = unix.SECCOMP_RET_KILL_PROCESS
)

// Errno is the action that makes the call fail with an error number.
func Errno(errno unix.Errno) Action { return unix.SECCOMP_RET_ERRNO | Action(errno) }

// String prints the action as seccomp(2) names it: ALLOW, ERRNO(EPERM).
func (a Action) String() string {
	switch a & unix.SECCOMP_RET_ACTION_FULL {
	case unix.SECCOMP_RET_ALLOW:
		return "ALLOW"
	case unix.SECCOMP_RET_KILL_PROCESS:
		return "KILL_PROCESS"
	case unix.SECCOMP_RET_ERRNO:
		return fmt.Sprintf("ERRNO(%s)", unix.ErrnoName(unix.Errno(a&unix.SECCOMP_RET_DATA)))
	}
	return fmt.Sprintf("%#x", uint32(a))
}

// Offsets in struct seccomp_data (linux/seccomp.h).
const (
	offsetNumber = 0
	offsetArch   = 4
	offsetArgs   = 16 // six of 8 bytes each, the lower half first
)

// The instructions that compiled filters consist of.
const (
	opLoad  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	opEqual = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	opMin   = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	opAnd   = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	opJump  = unix.BPF_JMP | unix.BPF_JA
	opRet   = unix.BPF_RET | unix.BPF_K
)

// String prints the program, an instruction a line, with the targets of jumps
// as line numbers.
func (p Program) String() string {
	var b strings.Builder
	for i, in := range p {
		fmt.Fprintf(&b, "%4d  ", i)
		switch in.Code {
		case opLoad:
			switch in.K {
			case offsetNumber:
				b.WriteString("load number")
			case offsetArch:
				b.WriteString("load arch")
			default:
				b.WriteString(loadedArg(in.K))
			}
		case opAnd:
			fmt.Fprintf(&b, "and %#x", in.K)
		case opEqual:
			fmt.Fprintf(&b, "if == %#x goto %d else %d", in.K, i+1+int(in.Jt), i+1+int(in.Jf))
		case opMin:
			fmt.Fprintf(&b, "if >= %d goto %d else %d", in.K, i+1+int(in.Jt), i+1+int(in.Jf))
		case opJump:
			fmt.Fprintf(&b, "goto %d", i+1+int(in.K))
		case opRet:
			fmt.Fprintf(&b, "return %v", Action(in.K))
		default:
			fmt.Fprintf(&b, "unknown instruction %+v", in)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// loadedArg names what is loaded from an offset in struct seccomp_data.
func loadedArg(offset uint32) string {
	index := (offset - offsetArgs) / 8
	switch {
	case offset < offsetArgs || index > 5:
		return fmt.Sprintf("load [%d]", offset)
	case offset%8 == 4:
		return fmt.Sprintf("load arg%d>>32", index)
	}
	return fmt.Sprintf("load arg%d", index)
}

// instructionSize is the size of struct sock_filter in bytes.
const instructionSize = 8

// MarshalBinary encodes the program for another process of the same program.
func (p Program) MarshalBinary() ([]byte, error) {
	out := make([]byte, 0, len(p)*instructionSize)
	for _, in := range p {
		out = binary.LittleEndian.AppendUint16(out, in.Code)
		out = append(out, in.Jt, in.Jf)
		out = binary.LittleEndian.AppendUint32(out, in.K)
	}
	return out, nil
}

// UnmarshalBinary decodes what MarshalBinary wrote.
func (p *Program) UnmarshalBinary(data []byte) error {
	if len(data)%instructionSize != 0 {
		return fmt.Errorf("seccomp: a program of %d bytes, expected a multiple of %d", len(data), instructionSize)
	}
	*p = make(Program, 0, len(data)/instructionSize)
	for ; len(data) > 0; data = data[instructionSize:] {
		*p = append(*p, unix.SockFilter{
			Code: binary.LittleEndian.Uint16(data),
			Jt:   data[2],
			Jf:   data[3],
			K:    binary.LittleEndian.Uint32(data[4:]),
		})
	}
	return nil
}
