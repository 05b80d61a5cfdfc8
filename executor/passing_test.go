// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"bufio"
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A supervisor that has not all of the files which it was sent starts nothing: none is
// for nothing, those either that are only to be held open.
func TestFilesThatAreLost(t *testing.T) {
	f := newFixture(t)
	const held = 60
	for name, tc := range map[string]struct {
		lose func(h *halfStarted) error
		want string
	}{
		"none": {func(*halfStarted) error { return nil }, ""},
		"not sent": {func(h *halfStarted) error {
			h.passed = h.passed[:len(h.passed)-1]
			return nil
		}, "descriptors came with it, expected"},
		"no room for them": {func(h *halfStarted) error {
			return unix.Prlimit(h.supervisor.PID, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: held, Max: held}, nil)
		}, "not all descriptors"},
	} {
		t.Run(name, func(t *testing.T) {
			plan := f.plan("true")
			for range held {
				plan.Held = append(plan.Held, os.Stdin)
			}
			h := f.halfStart("half", plan)
			if err := tc.lose(h); err != nil {
				t.Fatal(err)
			}
			encoded, err := instruct("half", plan, h.inherited)
			if err != nil {
				t.Fatal(err)
			}
			if err := h.supervisor.instruct(encoded, h.passed); err != nil {
				t.Fatal(err)
			}
			st, err := h.supervisor.status()
			if err != nil {
				t.Fatal(err)
			}
			if tc.want == "" && st.Error != "" || !strings.Contains(st.Error, tc.want) {
				t.Errorf("it says %q, want %q", st.Error, tc.want)
			}
			h.supervisor.end()
			if err := Remove("half", h.dir, ""); err != nil {
				t.Error(err)
			}
		})
	}
}

// What was sent whole is not followed by an empty write: that fails where a reader that had
// all of it has closed its end. A socket that keeps messages apart shows each.
func TestNothingIsSentBehindAMessage(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	own := os.NewFile(uintptr(fds[0]), "own")
	defer own.Close()
	defer unix.Close(fds[1])
	if err := sendMessage(own, []byte("all"), []int{fds[1]}); err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 10)
	if n, err := unix.Read(fds[1], data); err != nil || string(data[:n]) != "all" {
		t.Errorf("%q, %v", data[:n], err)
	}
	if n, err := unix.Read(fds[1], data); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("behind it came %d bytes, %v, expected nothing", n, err)
	}
}

// A supervisor that has its instructions and closes its end at once has begun the task: it
// is not killed for that.
func TestSupervisorThatIsQuickIsNotKilled(t *testing.T) {
	f := newFixture(t)
	keepReady(t)
	w := mustWait(t, f.plan("true"))
	defer w.end()
	// In its place, a supervisor that reads nothing more, and has said that it has all.
	w.socket.Close()
	own, other, err := newSocket()
	if err != nil {
		t.Fatal(err)
	}
	w.socket, w.reader = own, bufio.NewReader(own)
	if _, err := other.Write([]byte{taken}); err != nil {
		t.Fatal(err)
	}
	other.Close()
	if err := w.instruct([]byte("instructions"), nil); err != nil {
		t.Error(err)
	}
}
