// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package attack

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/cli"
	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

func TestMain(m *testing.M) {
	if os.Getenv(commandLineVariable) != "" {
		os.Exit(cli.Main(os.Args[1:]))
	}
	inheritKey()
	kerneltest.Isolate()
	os.Exit(m.Run())
}

// inheritedKey is the description of a key in the session keyring that this
// process and all its children have, as the plugin may have from its service
// manager.
const inheritedKey = "harn-attack-inherited"

// inheritKey makes it. A keyring is of a thread: the process that isolates the
// tests is started from this one.
func inheritKey() {
	const sessionKeyring = -3
	if os.Getenv(inheritedKey) != "" {
		return
	}
	_ = os.Setenv(inheritedKey, "made")
	runtime.LockOSThread()
	if _, _, errno := unix.RawSyscall(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0); errno == 0 {
		_, _ = unix.AddKey("user", inheritedKey, []byte(secretText), sessionKeyring)
	}
}
