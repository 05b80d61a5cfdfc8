// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package seccomp

import (
	"encoding/json"
	"testing"
)

// Whatever a filter's rules are: they are refused, or the program answers every
// call as they say, and is still the same after its encoding.
func FuzzCompile(f *testing.F) {
	seeds := filters()
	for _, seed := range seeds {
		data, err := json.Marshal(seed)
		if err != nil {
			f.Fatal(err)
		}
		for _, nr := range []uint32{0, 16, 41, 56, 435, x32Bit | 41} {
			f.Add(data, nr, AMD64.Audit, uint64(2), uint64(1), uint64(0x5412))
		}
	}
	f.Add([]byte(`{"rules":[{"syscall":"clone","admit":[[{"index":0,"high":true,"mask":3,"values":[1],"not":true}]]}],"unknown":38}`),
		uint32(56), ARM64.Audit, uint64(1)<<32, uint64(0), uint64(0))
	f.Fuzz(func(t *testing.T, rules []byte, nr, caller uint32, a0, a1, a2 uint64) {
		var filter Filter
		if json.Unmarshal(rules, &filter) != nil {
			return
		}
		data := Data{Number: nr, Arch: caller, Args: [6]uint64{a0, a1, a2, a0, a1, a2}}
		for _, arch := range arches {
			program, err := Compile(arch, &filter)
			if err != nil {
				continue
			}
			want := filter.answer(arch, data)
			if caller != arch.Audit || arch.ForeignFrom != 0 && nr >= arch.ForeignFrom {
				want = KillProcess
			}
			if got := run(t, program, data); got != want {
				t.Fatalf("%s: %s answers %+v with %v, want %v\n%v", arch.Name, rules, data, got, want, program)
			}
			encoded, err := program.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			var again Program
			if err := again.UnmarshalBinary(encoded); err != nil || again.String() != program.String() {
				t.Fatalf("%s: the program of %s is another one after its encoding: %v", arch.Name, rules, err)
			}
		}
	})
}
