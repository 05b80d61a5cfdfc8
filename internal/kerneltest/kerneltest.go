// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package kerneltest is what tests against the real kernel share: checks for
// what the machine must have, and a child process to confine.
package kerneltest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/attempt"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

// Require is the environment variable that makes a missing requirement a
// failure instead of a skip.
const Require = "HARN_REQUIRE_KERNEL"

// RequireABI is the environment variable with the Landlock ABI that the kernel
// must have: less is a failure. Where it is set, a test that needs more is
// skipped even under [Require], since that kernel is known not to have it.
const RequireABI = "HARN_REQUIRE_ABI"

// Missing ends the test: skipped with the reason, or failed under [Require].
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv(Require) == "1" {
		t.Fatalf("%s=1, but "+format, append([]any{Require}, args...)...)
	}
	t.Skipf(format, args...)
}

// Root ends the test unless it runs as root.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Missing(t, "this test needs root")
	}
}

// Landlock ends the test unless the kernel has at least that ABI, and returns
// the one that it has.
func Landlock(t testing.TB, least landlock.ABI) landlock.ABI {
	t.Helper()
	abi, err := landlock.Detect()
	if required, set := requiredABI(t); set {
		if abi < required {
			t.Fatalf("%s=%d, but the kernel has Landlock ABI %d (%v)", RequireABI, required, abi, err)
		}
		if abi < least {
			t.Skipf("this test needs Landlock ABI %d, the kernel has %d (%v)", least, abi, err)
		}
	}
	if abi < least {
		Missing(t, "this test needs Landlock ABI %d, the kernel has %d (%v)", least, abi, err)
	}
	return abi
}

func requiredABI(t testing.TB) (abi landlock.ABI, set bool) {
	t.Helper()
	text, set := os.LookupEnv(RequireABI)
	if !set {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		t.Fatalf("%s=%q is not a Landlock ABI: 0 for none, or a number", RequireABI, text)
	}
	return landlock.ABI(n), true
}

// NoLandlock ends the test if the kernel has Landlock: it is about what becomes
// of tasks where there is none. Such a kernel is in the matrix of "make
// kernels", so that it is skipped elsewhere even under [Require].
func NoLandlock(t testing.TB) {
	t.Helper()
	if abi := Landlock(t, 0); abi > 0 {
		t.Skipf("this test needs a kernel without Landlock (make kernels), this one has ABI %d", abi)
	}
}

// Seccomp ends the test unless the kernel has seccomp filters.
func Seccomp(t testing.TB) {
	t.Helper()
	if err := seccomp.Supported(); err != nil {
		Missing(t, "this test needs seccomp filters: %v", err)
	}
}

// Confinement is what a child enters before it tries its operations.
type Confinement struct {
	Ruleset *landlock.Ruleset `json:"ruleset,omitempty"`
	Flags   landlock.Flags    `json:"flags,omitempty"`
	// OtherThread: the operations are tried on another thread than the one that
	// enters the ruleset, one that was there before.
	OtherThread bool            `json:"other_thread,omitempty"`
	Filter      *seccomp.Filter `json:"filter,omitempty"`
	UID         int             `json:"uid,omitempty"` // the group's ID, too; 0: stay root
}

type childRequest struct {
	Confinement
	Ops []attempt.Op `json:"ops"`
}

const childVariable = "HARN_KERNELTEST_CHILD"

// Main is the TestMain of packages that use [Try].
func Main(m *testing.M) {
	if request := os.Getenv(childVariable); request != "" {
		child(request)
	}
	os.Exit(m.Run())
}

// Try runs the operations in a child process under the confinement, and
// returns the kernel's answer to each.
func Try(t testing.TB, c Confinement, ops ...attempt.Op) []string {
	t.Helper()
	request, err := json.Marshal(childRequest{c, ops})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childVariable+"="+string(request))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("the confined child: %v\n%s", err, stderr.Bytes())
	}
	var answers []string
	if err := json.Unmarshal(out, &answers); err != nil || len(answers) != len(ops) {
		t.Fatalf("the confined child answered %q: %v", out, err)
	}
	return answers
}

func child(request string) {
	runtime.LockOSThread()
	answers, err := serve([]byte(request))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_ = json.NewEncoder(os.Stdout).Encode(answers)
	os.Exit(0)
}

func serve(data []byte) ([]string, error) {
	var request childRequest
	if err := json.Unmarshal(data, &request); err != nil {
		return nil, err
	}
	if request.UID != 0 {
		for _, call := range []uintptr{unix.SYS_SETGID, unix.SYS_SETUID} {
			if _, _, errno := unix.RawSyscall(call, uintptr(request.UID), 0, 0); errno != 0 {
				return nil, errno
			}
		}
	}
	answers := make([]string, len(request.Ops))
	try := func() {
		for i, op := range request.Ops {
			answers[i] = op.Do()
		}
	}
	if request.OtherThread {
		ready, start, done := make(chan bool), make(chan bool), make(chan bool)
		there := try
		go func() {
			runtime.LockOSThread()
			close(ready) // it has its thread
			<-start
			there()
			close(done)
		}()
		<-ready
		try = func() { close(start); <-done }
	}
	if request.Ruleset != nil {
		set, err := request.Ruleset.Open()
		if err != nil {
			return nil, err
		}
		if err := landlock.Enter(set, request.Flags); err != nil {
			return nil, err
		}
	}
	if request.Filter != nil {
		arch, err := seccomp.Native()
		if err != nil {
			return nil, err
		}
		program, err := seccomp.Compile(arch, request.Filter)
		if err != nil {
			return nil, err
		}
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return nil, err
		}
		if err := seccomp.Install(program); err != nil {
			return nil, err
		}
	}
	try()
	return answers, nil
}
