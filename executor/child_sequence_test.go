// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"testing"

	"golang.org/x/sys/unix"
)

// What a child does not get past is named, with its number where there are many.
func TestSequenceExplains(t *testing.T) {
	t.Parallel()
	const unknown = 100
	for name, tc := range map[string]struct {
		add  func(*sequence)
		want string
	}{
		"a call": {func(s *sequence) {
			s.begin("closing %s", "it")
			s.call(unix.SYS_CLOSE, ^uintptr(0))
		}, "closing it: bad file descriptor"},
		"one of many": {func(s *sequence) {
			s.begin("closing %s %d").each = 1
			s.steps[0].args = []any{"the"}
			for fd := range uintptr(3) {
				tolerate(s.call(unix.SYS_CLOSE, unknown+fd), unix.EBADF)
			}
			s.call(unix.SYS_CLOSE, unknown+3)
		}, "closing the 103: bad file descriptor"},
		"what must fail": {func(s *sequence) {
			s.begin("asking").without = " works"
			s.call(unix.SYS_GETPID).Fails = 1
		}, "asking works"},
		"nothing to execute": {func(s *sequence) {
			s.nothing = "it was not found"
		}, "it was not found"},
	} {
		s := &sequence{}
		tc.add(s)
		if child, err := s.run(notOpen, unix.AT_FDCWD); err == nil || err.Error() != tc.want {
			t.Errorf("%s: %+v, %v, want %s", name, child, err, tc.want)
		}
	}
}
