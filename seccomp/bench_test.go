// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package seccomp_test

import (
	"os"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
	. "github.com/burin-labs/nomad-driver-harn/seccomp"
)

// BenchmarkFilters prints what system calls cost under the filters of policies,
// as a ratio to what they cost without one. getpid and read are answered from
// the kernel's cache; ioctl's arguments are looked at under hardened.
func BenchmarkFilters(b *testing.B) {
	kerneltest.Seccomp(b)
	zero, err := os.Open("/dev/zero")
	if err != nil {
		b.Fatal(err)
	}
	defer zero.Close()
	var buffer [1]byte
	calls := map[string]func(){
		"getpid": func() { _, _, _ = unix.RawSyscall(unix.SYS_GETPID, 0, 0, 0) },
		"read":   func() { _, _, _ = unix.RawSyscall(unix.SYS_READ, zero.Fd(), uintptr(unsafe.Pointer(&buffer)), 1) },
		"ioctl":  func() { _, _, _ = unix.RawSyscall(unix.SYS_IOCTL, zero.Fd(), unix.TCGETS, 0) },
	}
	filters := map[string]*Filter{
		"none":                       nil,
		"baseline+network":           Combine(Baseline, Always, Network),
		"baseline+families":          Combine(Baseline, Always, Families, RoutesOnly, NoRaw),
		"baseline+hardened+families": Combine(Baseline, Always, Hardened, Families, RoutesOnly, NoRaw),
		"baseline+hardened+network":  Combine(Baseline, Always, Hardened, Network),
	}
	threads := map[string]chan func(){}
	for name, f := range filters {
		threads[name] = confinedThread(b, f)
	}
	for call, do := range calls {
		for name := range filters {
			if name == "none" {
				continue
			}
			b.Run(call+"/"+name, func(b *testing.B) {
				// In turns, so that whatever else this machine does hits both alike.
				const rounds = 20
				best := map[string]time.Duration{}
				for range rounds {
					for _, thread := range []string{"none", name} {
						took := make(chan time.Duration)
						threads[thread] <- func() {
							start := time.Now()
							for range b.N {
								do()
							}
							took <- time.Since(start)
						}
						if d := <-took; best[thread] == 0 || d < best[thread] {
							best[thread] = d
						}
					}
				}
				b.ReportMetric(float64(best[name])/float64(best["none"]), "ratio")
				b.ReportMetric(float64(best[name])/float64(b.N), "ns/op")
			})
		}
	}
}

// confinedThread runs functions on a thread under a filter. The thread ends
// with the benchmark.
func confinedThread(b *testing.B, f *Filter) chan func() {
	work, ready := make(chan func()), make(chan error)
	go func() {
		runtime.LockOSThread()
		ready <- enter(f)
		for do := range work {
			do()
		}
	}()
	if err := <-ready; err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { close(work) })
	return work
}

func enter(f *Filter) error {
	if f == nil {
		return nil
	}
	arch, err := Native()
	if err != nil {
		return err
	}
	program, err := Compile(arch, f)
	if err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	return Install(program)
}

// BenchmarkCompile is part of every start of a task.
func BenchmarkCompile(b *testing.B) {
	arch, err := Native()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := Compile(arch, Combine(Baseline, Always, Hardened, Families, RoutesOnly, NoRaw)); err != nil {
			b.Fatal(err)
		}
	}
}
