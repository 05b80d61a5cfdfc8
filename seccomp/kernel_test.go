// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package seccomp_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/internal/attempt"
	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
	. "github.com/burin-labs/nomad-driver-harn/seccomp"
)

func TestMain(m *testing.M) { kerneltest.Main(m) }

// Every call of the groups answers EPERM under its filter, and something else
// (its arguments are no good) without.
func TestKernelDeniesTheGroups(t *testing.T) {
	kerneltest.Seccomp(t)
	kerneltest.Root(t) // unprivileged, most of them answer EPERM anyway
	for _, group := range Groups {
		var ops []attempt.Op
		for _, name := range group.Names() {
			ops = append(ops, attempt.New("syscall", name))
		}
		open := kerneltest.Try(t, kerneltest.Confinement{}, ops...)
		closed := kerneltest.Try(t, kerneltest.Confinement{Deny: group.Names()}, ops...)
		for i, name := range group.Names() {
			if closed[i] != "EPERM" {
				t.Errorf("%s: %s under the filter: %s, want EPERM", group.Name, name, closed[i])
			}
			if open[i] == "EPERM" {
				t.Errorf("%s: %s without the filter: EPERM, which shows nothing", group.Name, name)
			}
		}
	}
}

func TestKernelAllowsTheRest(t *testing.T) {
	kerneltest.Seccomp(t)
	deny := slices.Concat(Baseline.Names(), Network.Names())
	ops := []attempt.Op{
		attempt.New("socket", "tcp"),
		attempt.New("socketpair"),
		attempt.New("read", "/etc/passwd"),
		attempt.New("exec", "/bin/true"),
	}
	want := "EPERM EPERM OK OK"
	if got := strings.Join(kerneltest.Try(t, kerneltest.Confinement{Deny: deny}, ops...), " "); got != want {
		t.Errorf("under the filter: %s, want %s", got, want)
	}
	want = "OK OK OK OK"
	if got := strings.Join(kerneltest.Try(t, kerneltest.Confinement{}, ops...), " "); got != want {
		t.Errorf("without: %s, want %s", got, want)
	}
}

func TestInstallReportsErrors(t *testing.T) {
	if err := Install(nil); err == nil {
		t.Error("an empty program was installed")
	}
	// A program that ends without an answer is refused by the kernel's checker.
	if err := Install(Program{{Code: 0x20}}); err == nil || !strings.Contains(err.Error(), "seccomp") {
		t.Errorf("got %v, want the kernel's refusal", err)
	}
}
