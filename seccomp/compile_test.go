// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package seccomp

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

var arches = []*Arch{AMD64, ARM64}

func compile(t *testing.T, arch *Arch, deny []string) Program {
	t.Helper()
	p, err := Compile(arch, deny)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func run(t *testing.T, p Program, d Data) Action {
	t.Helper()
	a, err := p.Run(d)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// The filter agrees with its list on every number that a kernel could have, on
// each architecture and when called by another one.
func TestFilterAgreesWithItsList(t *testing.T) {
	lists := map[string][]string{
		"empty":            {},
		"baseline":         Baseline.Names(),
		"network":          Network.Names(),
		"baseline+network": slices.Concat(Baseline.Names(), Network.Names()),
	}
	for _, arch := range arches {
		for name, list := range lists {
			p := compile(t, arch, list)
			for nr := range uint32(1024) {
				want := Allow
				if slices.Contains(list, arch.Syscall(nr)) {
					want = Errno(unix.EPERM)
				}
				for _, caller := range []uint32{unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_AARCH64, unix.AUDIT_ARCH_I386, unix.AUDIT_ARCH_ARM, 0} {
					expected := want
					if caller != arch.Audit {
						expected = KillProcess
					}
					if got := run(t, p, Data{Number: nr, Arch: caller}); got != expected {
						t.Fatalf("%s on %s: %s (%d) from arch %#x: %v, want %v", name, arch.Name, arch.Syscall(nr), nr, caller, got, expected)
					}
				}
			}
		}
	}
}

func TestX32IsKilled(t *testing.T) {
	amd, arm := compile(t, AMD64, Baseline.Names()), compile(t, ARM64, Baseline.Names())
	for _, nr := range []uint32{x32Bit, x32Bit | 41, x32Bit | 512, 1<<31 | 41, 1<<32 - 1} {
		if got := run(t, amd, Data{Number: nr, Arch: AMD64.Audit}); got != KillProcess {
			t.Errorf("amd64 number %#x: %v, want KILL_PROCESS", nr, got)
		}
		// arm64 has no second interface: such numbers are just unknown to the kernel.
		if got := run(t, arm, Data{Number: nr, Arch: ARM64.Audit}); got != Allow {
			t.Errorf("arm64 number %#x: %v, want ALLOW", nr, got)
		}
	}
}

func TestFilterLooksAtNumberAndArchOnly(t *testing.T) {
	for _, arch := range arches {
		for i, in := range compile(t, arch, slices.Concat(Baseline.Names(), Network.Names())) {
			if in.Code == opLoad && in.K != offsetNumber && in.K != offsetArch {
				t.Errorf("%s: instruction %d loads offset %d: the kernel cannot cache this filter's answers", arch.Name, i, in.K)
			}
		}
	}
}

// Random lists, long and short, dense and sparse: also those whose jumps do
// not fit an instruction.
func TestRandomLists(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var all []string
	for _, s := range AMD64.table {
		all = append(all, s.name)
	}
	for size := 0; size <= len(all); size += 7 {
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		list := all[:size]
		p := compile(t, AMD64, list)
		for nr := range uint32(1024) {
			denied := run(t, p, Data{Number: nr, Arch: AMD64.Audit}) != Allow
			if want := slices.Contains(list, AMD64.Syscall(nr)); denied != want {
				t.Fatalf("list of %d: %s (%d) denied: %v, want %v", size, AMD64.Syscall(nr), nr, denied, want)
			}
		}
	}
}

func TestDepthIsLogarithmic(t *testing.T) {
	p := compile(t, AMD64, slices.Concat(Baseline.Names(), Network.Names()))
	// 34 calls make at most 69 intervals: 7 comparisons, the answer, and the 5
	// instructions of architecture and x32.
	const most = 5 + 7 + 1
	for nr := range uint32(1024) {
		if steps := steps(p, nr); steps > most {
			t.Errorf("number %d takes %d instructions, want at most %d", nr, steps, most)
		}
	}
}

func steps(p Program, nr uint32) int {
	var a uint32
	n := 0
	for pc := 0; ; pc++ {
		n++
		switch in := p[pc]; in.Code {
		case opLoad:
			a = map[uint32]uint32{offsetNumber: nr, offsetArch: AMD64.Audit}[in.K]
		case opEqual:
			pc += branch(a == in.K, in.Jt, in.Jf)
		case opMin:
			pc += branch(a >= in.K, in.Jt, in.Jf)
		case opJump:
			pc += int(in.K)
		case opRet:
			return n
		}
	}
}

func TestDrawnExample(t *testing.T) {
	got := compile(t, AMD64, []string{"ptrace", "swapon"}).String()
	want := `   0  load arch
   1  if == 0xc000003e goto 3 else 2
   2  return KILL_PROCESS
   3  load number
   4  if >= 1073741824 goto 5 else 6
   5  return KILL_PROCESS
   6  if >= 102 goto 10 else 7
   7  if >= 101 goto 9 else 8
   8  return ALLOW
   9  return ERRNO(EPERM)
  10  if >= 167 goto 12 else 11
  11  return ALLOW
  12  if >= 168 goto 14 else 13
  13  return ERRNO(EPERM)
  14  return ALLOW
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestUnknownSyscallIsRefused(t *testing.T) {
	_, err := Compile(AMD64, []string{"ptrace", "ptrase"})
	if err == nil || !strings.Contains(err.Error(), `"ptrase"`) {
		t.Errorf("got %v, want an error that names ptrase", err)
	}
	// arm64 has no iopl: there is nothing to deny, and that is no mistake.
	if p := compile(t, ARM64, []string{"iopl"}); len(p) != len(compile(t, ARM64, nil)) {
		t.Errorf("iopl on arm64 gives\n%v", p)
	}
}

func TestProgramSurvivesItsEncoding(t *testing.T) {
	want := compile(t, AMD64, Baseline.Names())
	data, err := want.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var got Program
	if err := got.UnmarshalBinary(data); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	if err := got.UnmarshalBinary(data[1:]); err == nil {
		t.Error("a truncated program was decoded")
	}
}

func TestRunRefusesBrokenPrograms(t *testing.T) {
	for name, p := range map[string]Program{
		"empty":         {},
		"no answer":     {{Code: opLoad}},
		"unknown code":  {{Code: 0xffff}},
		"odd load":      {{Code: opLoad, K: 2}},
		"load too far":  {{Code: opLoad, K: 64}},
		"jump too far":  {{Code: opJump, K: 9}},
		"branch beyond": {{Code: opEqual, Jt: 9, Jf: 9}},
	} {
		if a, err := p.Run(Data{}); err == nil {
			t.Errorf("%s: answered %v, want an error", name, a)
		}
	}
	args := Data{Args: [6]uint64{1 << 32, 2}}
	for offset, want := range map[uint32]uint32{16: 0, 20: 1, 24: 2, 28: 0} {
		p := Program{{Code: opLoad, K: offset}, {Code: opEqual, K: want, Jf: 1}, {Code: opRet, K: uint32(Allow)}, {Code: opRet}}
		if got := run(t, p, args); got != Allow {
			t.Errorf("the word at offset %d is not %d", offset, want)
		}
	}
}

func TestGroups(t *testing.T) {
	if got := len(Baseline.Entries); got != 18 {
		t.Errorf("baseline has %d calls, want 18", got)
	}
	if got := len(Network.Entries); got != 16 {
		t.Errorf("network has %d calls, want 16", got)
	}
	seen := map[string]string{}
	for _, g := range Groups {
		if names := g.Names(); !slices.IsSorted(names) {
			t.Errorf("%s is not sorted", g.Name)
		}
		for _, e := range g.Entries {
			if !known(e.Syscall) {
				t.Errorf("%s: unknown system call %s", g.Name, e.Syscall)
			}
			if e.Why == "" {
				t.Errorf("%s: %s has no reason", g.Name, e.Syscall)
			}
			if other, twice := seen[e.Syscall]; twice {
				t.Errorf("%s is in %s and %s", e.Syscall, other, g.Name)
			}
			seen[e.Syscall] = g.Name
		}
	}
}

func TestTablesAreCurrent(t *testing.T) {
	if native, err := Native(); err != nil || native != AMD64 && native != ARM64 {
		t.Fatalf("native: %v, %v", native, err)
	}
	for _, arch := range arches {
		if !slices.IsSortedFunc(arch.table, func(a, b syscallNumber) int { return strings.Compare(a.name, b.name) }) {
			t.Errorf("the table of %s is not sorted", arch.Name)
		}
	}
	for name, want := range map[string]uint32{"socket": 41, "ptrace": 101, "bpf": 321, "io_uring_setup": 425} {
		if got, ok := AMD64.Number(name); !ok || got != want {
			t.Errorf("%s on amd64: %d, want %d", name, got, want)
		}
	}
	for name, want := range map[string]uint32{"socket": 198, "ptrace": 117, "bpf": 280, "io_uring_setup": 425} {
		if got, ok := ARM64.Number(name); !ok || got != want {
			t.Errorf("%s on arm64: %d, want %d", name, got, want)
		}
	}
	// What go generate would write now is what is committed.
	dir := t.TempDir()
	if out, err := exec.Command("go", "run", "gen.go", "-out", dir).CombinedOutput(); err != nil {
		t.Fatalf("go run gen.go: %v\n%s", err, out)
	}
	for _, arch := range arches {
		name := "zsyscall_" + arch.Name + "_table.go"
		fresh, err := os.ReadFile(dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if committed, err := os.ReadFile(name); err != nil || !bytes.Equal(fresh, committed) {
			t.Errorf("%s is not what gen.go writes: run go generate ./seccomp (%v)", name, err)
		}
	}
}
