// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package landlock

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Enter puts the calling thread, and all that it starts from now on, under the
// ruleset that [Ruleset.Open] made. It sets no_new_privs first, without which
// the kernel lets only a privileged thread enter. Neither can be undone.
//
// Other threads of the process stay as they are: lock the goroutine to its
// thread (runtime.LockOSThread) and exec from it.
func Enter(ruleset uintptr) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("landlock: prctl(PR_SET_NO_NEW_PRIVS): %w", err)
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0, 0); errno != 0 {
		return fmt.Errorf("landlock: landlock_restrict_self(2): %w", errno)
	}
	return nil
}

// Denied returns nil if the calling thread is not allowed to open the
// directory dir, which it is after [Enter] if the ruleset handles [ReadDir] and
// no rule covers dir. It is the proof that the kernel enforces the ruleset:
// return codes alone were wrong before.
func Denied(dir string) error {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	switch {
	case err == nil:
		unix.Close(fd)
		return fmt.Errorf("landlock: %s can still be opened: the kernel does not enforce the ruleset", dir)
	case errors.Is(err, unix.EACCES):
		return nil
	}
	return fmt.Errorf("landlock: opening %s: %w, expected EACCES", dir, err)
}
