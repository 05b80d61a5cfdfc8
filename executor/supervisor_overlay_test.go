// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

// Where the tests run, overlays work.
func TestOverlayWorks(t *testing.T) {
	kerneltest.Root(t)
	if err := OverlayWorks("/etc"); err != nil {
		t.Skip(err)
	}
	base := t.TempDir()
	if err := unix.Mount("tmpfs", base, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(base, unix.MNT_DETACH) })
	dir := base + "/later"
	if err := OverlayWorks(dir); err == nil {
		t.Error("a directory that does not exist")
	}
	// What has failed can work later, and what has worked can fail.
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := OverlayWorks(dir); err != nil {
		t.Errorf("a directory that was made meanwhile: %v", err)
	}
	if err := os.Mkdir(base+"/empty", 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the kernel stacks two file systems, and no third one
		if err := unix.Mount("overlay", dir, "overlay", unix.MS_RDONLY, "lowerdir="+base+"/empty:"+dir); err != nil {
			t.Fatal(err)
		}
	}
	if err := OverlayWorks(dir); err == nil {
		t.Error("what is mounted there meanwhile has not been tried")
	}
}

// To try an overlay does not take reading all that a directory has.
func TestOverlayOfManyFiles(t *testing.T) {
	kerneltest.Root(t)
	if err := OverlayWorks("/etc"); err != nil {
		t.Skip(err)
	}
	base := t.TempDir()
	if err := unix.Mount("tmpfs", base, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(base, unix.MNT_DETACH) })
	const files = 20_000
	for i := range files {
		if err := os.WriteFile(filepath.Join(base, strconv.Itoa(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(1, func() {
		overlays.Clear()
		if err := OverlayWorks(base); err != nil {
			t.Error(err)
		}
	}); n > files/2 {
		t.Errorf("%v allocations of memory for a directory with %d files, expected that they are not read", n, files)
	}
}
