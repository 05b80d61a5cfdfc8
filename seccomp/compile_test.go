// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package seccomp

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

var arches = []*Arch{AMD64, ARM64}

func compile(t *testing.T, arch *Arch, f *Filter) Program {
	t.Helper()
	p, err := Compile(arch, f)
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

// filters are all groups, alone and as policies combine them.
func filters() map[string]*Filter {
	all := map[string]*Filter{
		"empty":                Deny(),
		"worktree":             Combine(Baseline, Always, Families, RoutesOnly, NoRaw),
		"worktree, no network": Combine(Baseline, Always, Network),
		"hardened":             Combine(Baseline, Always, Hardened, Families, RoutesOnly, NoRaw),
		"hardened, no network": Combine(Baseline, Always, Hardened, Network),
		"hardened, TCP ports":  Combine(Baseline, Always, Hardened, Families, TCPOnly, NoListen),
		"hardened, local":      Combine(Baseline, Always, Hardened, LocalIPC),
		"hardened, UNIX":       Combine(Baseline, Always, Hardened, UnixOnly),
		"everything":           Combine(Groups...),
		"two errors, two halves": {Rules: []Rule{
			{Syscall: "lseek", Errno: unix.ENXIO, Admit: []Args{{Is(1, 1, 2, 3)}, {Is(1, 1).UpperHalf(), IsNot(2, 7)}}},
			{Syscall: "lseek", Admit: []Args{{MaskedIs(2, 0xff00, 0x100, 0x200), IsNot(2, 0x101, 0x2ff)}}},
			{Syscall: "fstat", Errno: unix.EIO},
			{Syscall: "fstat", Admit: []Args{{Is(0, 1)}}},
		}},
	}
	for _, g := range Groups {
		all[g.Name] = Combine(g)
	}
	return all
}

// answer is what a filter means, said without a program.
func (f *Filter) answer(arch *Arch, d Data) Action {
	name := arch.Syscall(d.Number)
	if _, ok := arch.Number(name); !ok && f.Unknown != 0 {
		return Errno(f.Unknown)
	}
	answer := Allow
	for _, r := range slices.Backward(f.Rules) {
		if r.Syscall == name && !slices.ContainsFunc(r.Admit, func(args Args) bool { return args.hold(d) }) {
			answer = r.action()
		}
	}
	for _, r := range slices.Backward(f.Rules) { // one that admits nothing decides
		if r.Syscall == name && len(r.Admit) == 0 {
			answer = r.action()
		}
	}
	return answer
}

func (a Args) hold(d Data) bool {
	for _, arg := range a {
		v := uint32(d.Args[arg.Index])
		if arg.High {
			v = uint32(d.Args[arg.Index] >> 32)
		}
		if arg.Mask != 0 {
			v &= arg.Mask
		}
		if slices.Contains(arg.Values, v) == arg.Not {
			return false
		}
	}
	return true
}

// The program agrees with its rules on every number that a kernel could have,
// on each architecture and when called by another one.
func TestProgramAgreesWithItsRules(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for name, f := range filters() {
		for _, arch := range arches {
			p := compile(t, arch, f)
			for nr := range uint32(1024) {
				d := Data{Number: nr}
				for i := range d.Args {
					d.Args[i] = random.Uint64()
				}
				for _, d.Arch = range []uint32{unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_AARCH64, unix.AUDIT_ARCH_I386, unix.AUDIT_ARCH_ARM, 0} {
					want := KillProcess
					if d.Arch == arch.Audit {
						want = f.answer(arch, d)
					}
					if got := run(t, p, d); got != want {
						t.Fatalf("%s on %s: %s (%d) from arch %#x: %v, want %v", name, arch.Name, arch.Syscall(nr), nr, d.Arch, got, want)
					}
				}
			}
		}
	}
}

// And on arguments: those that its rules name, their neighbors, and all of them
// with other upper halves.
func TestProgramAgreesOnArguments(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	const tries = 5000
	for name, f := range filters() {
		for _, arch := range arches {
			p := compile(t, arch, f)
			for _, rule := range f.Rules {
				number, ok := arch.Number(rule.Syscall)
				if !ok || len(rule.Admit) == 0 {
					continue
				}
				values := []uint64{0, 1, math.MaxUint32}
				for _, args := range rule.Admit {
					for _, arg := range args {
						for _, v := range append(arg.Values, arg.Mask, ^arg.Mask) {
							values = append(values, uint64(v), uint64(v+1), uint64(v-1), uint64(v)<<32)
						}
					}
				}
				answers := map[Action]int{}
				for range tries {
					d := Data{Number: number, Arch: arch.Audit}
					for i := range d.Args {
						d.Args[i] = values[random.IntN(len(values))] | values[random.IntN(len(values))]<<32*uint64(random.IntN(2))
					}
					want := f.answer(arch, d)
					if got := run(t, p, d); got != want {
						t.Fatalf("%s on %s: %s%#x: %v, want %v", name, arch.Name, rule.Syscall, d.Args, got, want)
					}
					answers[want]++
				}
				if unconditional := compileRulesOf(f, rule.Syscall) == 1; !unconditional && len(answers) < 2 {
					t.Errorf("%s on %s: %s: only %v was seen", name, arch.Name, rule.Syscall, answers)
				}
			}
		}
	}
}

func compileRulesOf(f *Filter, name string) int {
	var rules []*Rule
	for i, r := range f.Rules {
		if r.Syscall == name {
			rules = append(rules, &f.Rules[i])
		}
	}
	p, _ := compileRules(rules)
	return len(p)
}

func TestX32IsKilled(t *testing.T) {
	amd, arm := compile(t, AMD64, Combine(Baseline)), compile(t, ARM64, Combine(Baseline))
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

// cacheable is what the kernel does when a filter is installed (seccomp.c,
// seccomp_is_const_allow): it remembers that a number is allowed if the filter
// says so without a look at anything but number and architecture.
func cacheable(p Program, arch *Arch, nr uint32) bool {
	var a uint32
	for pc := 0; ; pc++ {
		switch in := p[pc]; in.Code {
		case opLoad:
			switch in.K {
			case offsetNumber:
				a = nr
			case offsetArch:
				a = arch.Audit
			default:
				return false
			}
		case opEqual:
			pc += branch(a == in.K, in.Jt, in.Jf)
		case opMin:
			pc += branch(a >= in.K, in.Jt, in.Jf)
		case opAnd:
			a &= in.K
		case opJump:
			pc += int(in.K)
		case opRet:
			return Action(in.K) == Allow
		}
	}
}

// Only the calls whose arguments decide cost more than without a filter.
func TestKernelCachesAllOtherCalls(t *testing.T) {
	for name, f := range filters() {
		for _, arch := range arches {
			p := compile(t, arch, f)
			for nr := range uint32(1024) {
				name0 := arch.Syscall(nr)
				ruled := slices.ContainsFunc(f.Rules, func(r Rule) bool { return r.Syscall == name0 })
				_, exists := arch.Number(name0)
				want := !ruled && (exists || f.Unknown == 0)
				if got := cacheable(p, arch, nr); got != want {
					t.Errorf("%s on %s: %s (%d): cacheable: %v, want %v", name, arch.Name, name0, nr, got, want)
				}
			}
		}
	}
	// None of the calls that programs make all the time.
	f := Combine(Baseline, Always, Hardened, Families, RoutesOnly, NoRaw)
	for _, hot := range []string{"read", "write", "openat", "close", "mmap", "futex", "epoll_wait", "newfstatat", "getpid", "sendto", "recvfrom", "connect", "execve"} {
		if nr, ok := AMD64.Number(hot); !ok || !cacheable(compile(t, AMD64, f), AMD64, nr) {
			t.Errorf("%s is not cacheable", hot)
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
		p := compile(t, AMD64, Deny(list...))
		for nr := range uint32(1024) {
			denied := run(t, p, Data{Number: nr, Arch: AMD64.Audit}) != Allow
			if want := slices.Contains(list, AMD64.Syscall(nr)); denied != want {
				t.Fatalf("list of %d: %s (%d) denied: %v, want %v", size, AMD64.Syscall(nr), nr, denied, want)
			}
		}
	}
}

func TestDepthIsLogarithmic(t *testing.T) {
	// 40 calls make at most 81 intervals: 7 comparisons, the answer, and the 5
	// instructions of architecture and x32. 105 make 211: 8, and as many of them
	// may have to jump far.
	for most, f := range map[int]*Filter{
		5 + 7 + 1:   Combine(Baseline, Always, Network),
		5 + 2*8 + 1: Combine(Baseline, Always, Hardened),
	} {
		p := compile(t, AMD64, f)
		for nr := range uint32(1024) {
			if !cacheable(p, AMD64, nr) {
				continue // has more to look at, or is denied
			}
			if steps := steps(p, nr); steps > most {
				t.Errorf("number %d takes %d instructions, want at most %d", nr, steps, most)
			}
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
	got := compile(t, AMD64, Deny("ptrace", "swapon")).String()
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

func TestProgramPrintsArguments(t *testing.T) {
	p := compile(t, AMD64, &Filter{
		Rules:   []Rule{deny("personality", "").with(unix.ENOSYS).unless(Is(0, 0, 8)).unless(MaskedIs(1, 0xf0, 0x10).UpperHalf(), IsNot(5, 1)).Rule},
		Unknown: unix.ENOSYS,
	}).String()
	for _, want := range []string{
		"load arg0\n", "if == 0x8 goto", "load arg1>>32\n", "and 0xf0\n", "load arg5\n", "return ERRNO(ENOSYS)\n",
	} {
		if !strings.Contains(p, want) {
			t.Errorf("no %q in\n%s", want, p)
		}
	}
}

func TestBrokenRulesAreRefused(t *testing.T) {
	many := make([]uint32, 300)
	for name, tc := range map[string]struct {
		rule Rule
		want string
	}{
		"unknown call":   {Rule{Syscall: "ptrase"}, `"ptrase"`},
		"error number":   {Rule{Syscall: "ptrace", Errno: 4096}, "at most 4095"},
		"no condition":   {Rule{Syscall: "ptrace", Admit: []Args{{}}}, "admits every call"},
		"index":          {Rule{Syscall: "ptrace", Admit: []Args{{Is(6, 1)}}}, "argument 6, expected 0 to 5"},
		"negative index": {Rule{Syscall: "ptrace", Admit: []Args{{Is(-1, 1)}}}, "argument -1"},
		"no values":      {Rule{Syscall: "ptrace", Admit: []Args{{Is(1)}}}, "no values"},
		"never true":     {Rule{Syscall: "ptrace", Admit: []Args{{MaskedIs(1, 1, 2)}}}, "never the value"},
		"too long":       {Rule{Syscall: "ptrace", Admit: []Args{{Is(1, many...)}}}, "too long"},
	} {
		if _, err := Compile(AMD64, &Filter{Rules: []Rule{tc.rule}}); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, tc.want)
		}
	}
	// arm64 has no iopl: there is nothing to deny, and that is no mistake.
	if p := compile(t, ARM64, Deny("iopl")); len(p) != len(compile(t, ARM64, Deny())) {
		t.Errorf("iopl on arm64 gives\n%v", p)
	}
}

func TestFilterSurvivesJSON(t *testing.T) {
	want := Combine(Groups...)
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Filter
	if err := json.Unmarshal(data, &got); err != nil || !reflect.DeepEqual(&got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestProgramSurvivesItsEncoding(t *testing.T) {
	want := compile(t, AMD64, Combine(Baseline, Hardened))
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
	if got := len(Network.Entries); got != 13 {
		t.Errorf("network has %d calls, want 13", got)
	}
	for _, g := range Groups {
		if names := g.Names(); !slices.IsSorted(names) {
			t.Errorf("%s is not sorted: %v", g.Name, names)
		}
		// A call has several rules only where each has its own answer.
		answers := map[string][]unix.Errno{}
		for _, e := range g.Entries {
			if slices.Contains(answers[e.Syscall], e.Errno) {
				t.Errorf("%s has %s twice with the same answer", g.Name, e.Syscall)
			}
			answers[e.Syscall] = append(answers[e.Syscall], e.Errno)
		}
		for _, e := range g.Entries {
			if err := e.validate(); err != nil {
				t.Errorf("%s: %v", g.Name, err)
			}
			if e.Why == "" {
				t.Errorf("%s: %s has no reason", g.Name, e.Syscall)
			}
			if line := g.String(); !strings.Contains(line, e.String()) {
				t.Errorf("%s: no %v in %q", g.Name, e.Rule, line)
			}
		}
	}
	for _, name := range Hardened.Names() {
		if slices.Contains(slices.Concat(Baseline.Names(), Always.Names()), name) {
			t.Errorf("%s is in hardened, and in baseline or always already", name)
		}
	}
}

// What the groups mean for calls that programs make, and for attacks.
func TestGroupsByArguments(t *testing.T) {
	const (
		inet, inet6, unixFamily, netlink, packet, vsock, alg = unix.AF_INET, unix.AF_INET6, unix.AF_UNIX, unix.AF_NETLINK, unix.AF_PACKET, unix.AF_VSOCK, unix.AF_ALG

		stream, dgram, raw, seqpacket, cloexec = unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_RAW, unix.SOCK_SEQPACKET, unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK

		tcp, udp, icmp, sctp, mptcp = unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_ICMP, unix.IPPROTO_SCTP, unix.IPPROTO_MPTCP

		l2tp, smc = 115, 256

		high = 1 << 32 // of which the kernel sees nothing in an int
	)
	ok, eperm, enosys := Allow, Errno(unix.EPERM), Errno(unix.ENOSYS)
	family, kind, protocol := Errno(unix.EAFNOSUPPORT), Errno(unix.ESOCKTNOSUPPORT), Errno(unix.EPROTONOSUPPORT)
	type call struct {
		name string
		args []uint64
		want Action
	}
	for _, tc := range []struct {
		group *Group
		calls []call
	}{
		{Hardened, []call{
			{"clone", []uint64{unix.CLONE_VM | unix.CLONE_VFORK | uint64(unix.SIGCHLD)}, ok},
			{"clone", []uint64{unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_THREAD | unix.CLONE_SYSVSEM | unix.CLONE_SETTLS | unix.CLONE_PARENT_SETTID | unix.CLONE_CHILD_CLEARTID}, ok},
			{"clone", []uint64{unix.CLONE_NEWUSER | uint64(unix.SIGCHLD)}, eperm},
			{"clone", []uint64{unix.CLONE_NEWNS | high}, eperm},
			{"clone", []uint64{unix.CLONE_NEWCGROUP}, eperm},
			{"clone", []uint64{unix.CLONE_NEWNET}, eperm},
			{"clone", []uint64{unix.CLONE_NEWPID}, eperm},
			{"clone", []uint64{unix.CLONE_NEWUTS}, eperm},
			{"clone", []uint64{unix.CLONE_NEWIPC}, eperm},
			{"clone3", []uint64{0}, enosys},
			{"unshare", []uint64{unix.CLONE_FS | unix.CLONE_FILES}, ok},
			{"unshare", []uint64{unix.CLONE_NEWUSER}, eperm},
			{"unshare", []uint64{unix.CLONE_NEWTIME}, eperm},
			{"unshare", []uint64{unix.CLONE_FS | 1<<20}, eperm}, // UNSHARE_EMPTY_MNTNS of Linux 7.1
			{"unshare", []uint64{unix.CLONE_FS | high}, eperm},
			{"personality", []uint64{0}, ok},
			{"personality", []uint64{math.MaxUint32}, ok},
			{"personality", []uint64{math.MaxUint64}, ok},
			{"personality", []uint64{0x0040000}, eperm},        // ADDR_NO_RANDOMIZE
			{"personality", []uint64{0x0400000 | high}, eperm}, // READ_IMPLIES_EXEC
			{"move_pages", []uint64{0}, ok},
			{"move_pages", []uint64{1}, eperm},
			{"mseal", nil, ok},
			{"memfd_secret", nil, ok},
			{"seccomp", nil, ok},
			{"landlock_restrict_self", nil, ok},
			{"pidfd_open", nil, ok},
		}},
		{Always, []call{
			{"fcntl", []uint64{0, unix.F_GETFL}, ok},
			{"fcntl", []uint64{0, unix.F_GETLEASE}, ok},
			{"fcntl", []uint64{high, unix.F_SETLEASE}, eperm},
			{"fcntl", []uint64{0, unix.F_SETLEASE | high}, eperm},
			{"fcntl", []uint64{0, 1040}, eperm}, // F_SETDELEG
			{"ioctl", []uint64{0, unix.TCGETS}, ok},
			{"ioctl", []uint64{0, unix.TIOCINQ}, ok},
			{"ioctl", []uint64{0, unix.TIOCSWINSZ}, ok},
			{"ioctl", []uint64{0, unix.SIOCGIFCONF}, ok},
			{"ioctl", []uint64{0, unix.TIOCSTI}, eperm},
			{"ioctl", []uint64{0, unix.TIOCSTI | high}, eperm}, // CVE-2019-10063
			{"ioctl", []uint64{high, unix.TIOCLINUX}, eperm},
			{"ioctl", []uint64{0, unix.TIOCSETD}, eperm},
			{"ioctl", []uint64{0, unix.TIOCCONS}, eperm},
			{"ioctl", []uint64{0, unix.SIOCGIFBR}, eperm},
			{"ioctl", []uint64{0, unix.SIOCBRADDBR | high}, eperm},
			{"ioctl", []uint64{0, unix.SIOCSIFVLAN}, eperm},
			{"ioctl", []uint64{0, 0x5000940e}, eperm},        // BTRFS_IOC_SUBVOL_CREATE
			{"ioctl", []uint64{0, 0x50009417 | high}, eperm}, // BTRFS_IOC_SNAP_CREATE_V2
			{"ioctl", []uint64{0, 0x4030bc1d}, eperm},        // BCH_IOCTL_SUBVOLUME_CREATE_v2
			{"ioctl", []uint64{0, 0x40186f04}, eperm},        // OCFS2_IOC_REFLINK
			{"ioctl", []uint64{0, unix.FICLONE}, ok},
			{"ioctl", []uint64{0, unix.FICLONERANGE}, ok},
			{"ioctl", []uint64{0, unix.FIDEDUPERANGE}, ok},
			{"ioctl", []uint64{0, unix.FS_IOC_SETFLAGS}, ok},
			{"io_uring_setup", nil, enosys},
			{"io_uring_enter", nil, enosys},
			{"io_uring_register", nil, enosys},
			{"io_setup", nil, enosys},
			{"add_key", nil, eperm},
			{"request_key", nil, eperm},
			{"keyctl", nil, eperm},
			{"fsopen", nil, eperm},
			{"socket", nil, ok},
			{"epoll_create1", nil, ok},
		}},
		{Families, []call{
			{"socket", []uint64{inet, stream, 0}, ok},
			{"socket", []uint64{inet, stream | cloexec, tcp}, ok},
			{"socket", []uint64{inet6, stream | high, tcp}, ok},
			{"socket", []uint64{inet, dgram, 0}, ok},
			{"socket", []uint64{inet6, dgram | cloexec, udp}, ok},
			{"socket", []uint64{inet | high, stream | high, tcp | high}, ok},
			{"socket", []uint64{inet, dgram, icmp}, ok},
			{"socket", []uint64{inet6, dgram, unix.IPPROTO_ICMPV6}, ok},
			{"socket", []uint64{inet6, dgram, icmp}, protocol},
			{"socket", []uint64{inet, dgram, unix.IPPROTO_ICMPV6}, protocol},
			{"socket", []uint64{inet, raw, icmp}, ok},
			{"socket", []uint64{inet, raw, unix.IPPROTO_RAW}, ok},
			{"socket", []uint64{inet, raw, 0}, protocol},
			{"socket", []uint64{inet, stream, sctp}, protocol},
			{"socket", []uint64{inet, stream | cloexec, sctp | high}, protocol},
			{"socket", []uint64{inet | high, stream | high, sctp}, protocol},
			{"socket", []uint64{inet6, stream, mptcp}, protocol},
			{"socket", []uint64{inet, stream, smc}, protocol},
			{"socket", []uint64{inet, stream, udp}, protocol},
			{"socket", []uint64{inet, dgram, unix.IPPROTO_UDPLITE}, protocol},
			{"socket", []uint64{inet, dgram | cloexec, l2tp}, protocol},
			{"socket", []uint64{inet, dgram, tcp}, protocol},
			{"socket", []uint64{inet, stream, tcp | 1<<8}, protocol},
			{"socket", []uint64{inet, stream, math.MaxUint64}, protocol},
			{"socket", []uint64{inet, seqpacket, sctp}, kind},
			{"socket", []uint64{inet, seqpacket | cloexec | high, 0}, kind},
			{"socket", []uint64{inet6, unix.SOCK_DCCP, unix.IPPROTO_DCCP}, kind},
			{"socket", []uint64{inet, unix.SOCK_RDM, 0}, kind},
			{"socket", []uint64{inet, unix.SOCK_PACKET, 3}, kind}, // the old name of AF_PACKET
			{"socket", []uint64{unixFamily, seqpacket, 0}, ok},
			{"socket", []uint64{unixFamily, dgram, 0}, ok},
			{"socket", []uint64{packet, raw, 3}, ok},
			{"socket", []uint64{netlink, raw, 15}, ok},
			{"socket", []uint64{vsock, stream, 0}, family},
			{"socket", []uint64{alg, seqpacket, 0}, family},
			{"socket", []uint64{alg | high, seqpacket, 0}, family},
			{"socket", []uint64{unix.AF_SMC, stream, 0}, family},
			{"socket", []uint64{unix.AF_XDP, raw, 0}, family},
			{"socket", []uint64{unix.AF_TIPC, seqpacket, 0}, family},
			{"socket", []uint64{math.MaxUint64, stream, 0}, family},
			{"socketpair", []uint64{unixFamily, dgram, 0}, ok},
			{"socketpair", []uint64{unixFamily | high, stream | cloexec, 0}, ok},
			{"socketpair", []uint64{unix.AF_TIPC, stream, 0}, family},
			{"socketpair", []uint64{inet, stream, 0}, family},
			{"connect", nil, ok},
		}},
		{RoutesOnly, []call{
			{"socket", []uint64{netlink, raw, unix.NETLINK_ROUTE}, ok},
			{"socket", []uint64{netlink | high, dgram | cloexec, unix.NETLINK_ROUTE | high}, ok},
			{"socket", []uint64{netlink, raw, unix.NETLINK_NETFILTER}, protocol},
			{"socket", []uint64{netlink, raw | cloexec, unix.NETLINK_SOCK_DIAG}, protocol},
			{"socket", []uint64{netlink | high, dgram, unix.NETLINK_GENERIC}, protocol},
			{"socket", []uint64{netlink, raw, unix.NETLINK_KOBJECT_UEVENT}, protocol},
			{"socket", []uint64{netlink, raw, unix.NETLINK_AUDIT}, protocol},
			{"socket", []uint64{netlink, raw, unix.NETLINK_CRYPTO}, protocol},
			{"socket", []uint64{netlink, raw, math.MaxUint32}, protocol},
			{"socket", []uint64{inet, stream, tcp}, ok},
			{"socket", []uint64{unixFamily, stream, 0}, ok},
		}},
		{NoRaw, []call{
			{"socket", []uint64{inet, raw, icmp}, eperm},
			{"socket", []uint64{inet6 | high, raw | cloexec | high, unix.IPPROTO_RAW}, eperm},
			{"socket", []uint64{inet, unix.SOCK_PACKET, 3}, eperm},
			{"socket", []uint64{packet, raw, 3}, eperm},
			{"socket", []uint64{packet, dgram, 0}, eperm},
			{"socket", []uint64{inet, dgram, icmp}, ok},
			{"socket", []uint64{inet, stream | cloexec, 0}, ok},
			{"socket", []uint64{netlink, raw, 0}, ok},
			{"socket", []uint64{unixFamily, raw, 0}, ok},
		}},
		{TCPOnly, []call{
			{"socket", []uint64{inet, stream | cloexec, 0}, ok},
			{"socket", []uint64{inet6, stream, tcp}, ok},
			{"socket", []uint64{unixFamily, dgram, 0}, ok},
			{"socket", []uint64{netlink, raw | cloexec, unix.NETLINK_ROUTE}, ok},
			{"socket", []uint64{netlink, dgram, unix.NETLINK_GENERIC}, eperm},
			{"socket", []uint64{inet, stream, mptcp}, eperm},
			{"socket", []uint64{inet, stream, sctp}, eperm},
			{"socket", []uint64{inet, stream, unix.IPPROTO_TCP | 1<<8}, eperm},
			{"socket", []uint64{inet, dgram, 0}, eperm},
			{"socket", []uint64{inet, dgram, icmp}, eperm},
			{"socket", []uint64{inet, raw, tcp}, eperm},
			{"socket", []uint64{vsock, stream, 0}, eperm},
			{"sendto", []uint64{3, 0, 0, unix.MSG_NOSIGNAL, 0, 0}, ok},
			{"sendto", []uint64{3, 0, 0, unix.MSG_NOSIGNAL | unix.MSG_FASTOPEN, 0, 0}, eperm},
			{"sendmsg", []uint64{3, 0, unix.MSG_FASTOPEN | high}, eperm},
			{"sendmsg", []uint64{3, 0, 0}, ok},
			{"sendmmsg", []uint64{3, 0, 1, unix.MSG_FASTOPEN}, eperm},
			{"sendmmsg", []uint64{3, 0, 1, 0}, ok},
			{"connect", nil, ok},
			{"recvfrom", nil, ok},
		}},
		{UnixOnly, []call{
			{"socket", []uint64{unixFamily, dgram, 0}, ok},
			{"socket", []uint64{inet, stream, 0}, eperm},
			{"socketpair", []uint64{unixFamily, dgram, 0}, ok},
			{"socketpair", []uint64{inet, stream, 0}, eperm},
			{"connect", nil, ok},
			{"accept4", nil, ok},
		}},
		{LocalIPC, []call{
			{"socket", []uint64{unixFamily, stream, 0}, eperm},
			{"socketpair", []uint64{unixFamily, stream | cloexec, 0}, ok},
			{"socketpair", []uint64{unixFamily, seqpacket, 0}, ok},
			{"socketpair", []uint64{unixFamily, dgram, 0}, eperm},
			{"socketpair", []uint64{unixFamily, raw, 0}, eperm}, // datagrams by another name
			{"sendmsg", nil, ok},
			{"recvmsg", nil, ok},
			{"sendto", nil, ok},
			{"recvfrom", nil, ok},
			{"sendmmsg", nil, ok},
			{"recvmmsg", nil, ok},
			{"connect", nil, eperm},
			{"bind", nil, eperm},
			{"accept", nil, eperm},
			{"listen", nil, eperm},
		}},
		{NoListen, []call{{"listen", nil, eperm}, {"accept4", nil, ok}}},
	} {
		for _, arch := range arches {
			p := compile(t, arch, Combine(tc.group))
			for _, c := range tc.calls {
				number, exists := arch.Number(c.name)
				if !exists {
					t.Fatalf("%s has no %s", arch.Name, c.name)
				}
				d := Data{Number: number, Arch: arch.Audit}
				copy(d.Args[:], c.args)
				if got := run(t, p, d); got != c.want {
					t.Errorf("%s on %s: %s%#x: %v, want %v", tc.group.Name, arch.Name, c.name, c.args, got, c.want)
				}
			}
		}
	}
}

// What no table knows answers ENOSYS under hardened, in the gaps and beyond the
// last number: the numbers 512 to 547 are x32's on some kernels.
func TestUnknownNumbers(t *testing.T) {
	for _, arch := range arches {
		hardened, baseline := compile(t, arch, Combine(Hardened)), compile(t, arch, Combine(Baseline))
		for _, nr := range []uint32{400, 472, 500, 512, 547, 1 << 20, x32Bit - 1} {
			d := Data{Number: nr, Arch: arch.Audit}
			if got := run(t, hardened, d); got != Errno(unix.ENOSYS) {
				t.Errorf("hardened on %s: %d: %v, want ENOSYS", arch.Name, nr, got)
			}
			if got := run(t, baseline, d); got != Allow {
				t.Errorf("baseline on %s: %d: %v, want ALLOW", arch.Name, nr, got)
			}
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
