// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"encoding/json"
	"fmt"
	"sync"

	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

// filters are programs, as [seccomp.Program.MarshalBinary] encodes them. The plugin
// compiles each once, for all the supervisors and sessions that are told of it.
type filters struct {
	Program []byte `json:"program,omitempty"` // what the program is under; empty for none
	Own     []byte `json:"own"`               // of who has started it: see dropPrivileges
}

// mostCompiled is how many filters are kept. A client has a few, of the profiles
// and what its jobs add to them.
const mostCompiled = 256

// compiled holds filters that were compiled before, by their rules.
var compiled = struct {
	sync.Mutex
	programs map[string][]byte
}{programs: map[string][]byte{}}

// compile compiles a filter, if it was not compiled before. nil is none.
func compile(filter *seccomp.Filter) ([]byte, error) {
	if filter == nil {
		return nil, nil
	}
	rules, err := json.Marshal(filter)
	if err != nil {
		return nil, err
	}
	compiled.Lock()
	defer compiled.Unlock()
	if program, ok := compiled.programs[string(rules)]; ok {
		return program, nil
	}
	arch, err := seccomp.Native()
	if err != nil {
		return nil, err
	}
	program, err := seccomp.Compile(arch, filter)
	if err != nil {
		return nil, err
	}
	encoded, err := program.MarshalBinary()
	if err != nil {
		return nil, err
	}
	if len(compiled.programs) >= mostCompiled {
		clear(compiled.programs)
	}
	compiled.programs[string(rules)] = encoded
	return encoded, nil
}

// compileFor compiles what a program is under, and what remains to who starts it:
// a process that looks for others in /proc, or not, and writes logs, or not.
func compileFor(c *Confinement, searchProc bool, logs int) (f filters, err error) {
	if f.Program, err = compile(c.Filter); err != nil {
		return f, err
	}
	f.Own, err = compile(supervisorFilter(searchProc, logs))
	return f, err
}

// decode decodes both.
func (f *filters) decode() (program, own seccomp.Program, err error) {
	if err = program.UnmarshalBinary(f.Program); err == nil {
		err = own.UnmarshalBinary(f.Own)
	}
	if err == nil && len(own) == 0 {
		err = fmt.Errorf("no filter for who starts the program, expected one")
	}
	return program, own, err
}
