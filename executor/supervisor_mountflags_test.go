// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

func TestMountPoints(t *testing.T) {
	const list = `25 30 0:23 / /sys rw - sysfs sysfs rw
26 30 0:24 / /a rw - tmpfs tmpfs rw
27 26 0:24 / /a/with\040blank rw - tmpfs tmpfs rw
28 26 0:24 / /ab rw - tmpfs tmpfs rw
broken
`
	if got, want := mountPoints(list, "/a"), []string{"/a", "/a/with blank"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := mountPoints(list, "/"); len(got) != 4 {
		t.Errorf("%q, want all four", got)
	}
}

// Mounts within a mount get its flags too, and keep those that they have.
func TestSetFlags(t *testing.T) {
	kerneltest.Root(t)
	outer := t.TempDir()
	inner := filepath.Join(outer, "in ner")
	kerneltest.Thread(func() {
		try := func(what string, err error) {
			if err != nil {
				t.Errorf("%s: %v", what, err)
				runtime.Goexit()
			}
		}
		try("unshare", unix.Unshare(unix.CLONE_NEWNS|unix.CLONE_FS))
		try("private", unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		try("outer", unix.Mount("tmpfs", outer, "tmpfs", 0, ""))
		try("mkdir", os.Mkdir(inner, 0o755))
		try("inner", unix.Mount("tmpfs", inner, "tmpfs", unix.MS_NOEXEC, ""))
		tree, err := openPath(outer)
		try("open", err)
		defer unix.Close(tree)
		writes := func() (both [2]bool) {
			for i, dir := range []string{outer, inner} {
				both[i] = os.WriteFile(filepath.Join(dir, "file"), nil, 0o644) == nil
			}
			return both
		}
		if writes() != [2]bool{true, true} {
			t.Error("not writable before")
		}
		try("flags", setFlags(tree, unix.MS_RDONLY|unix.MS_NOSUID, unix.MS_PRIVATE))
		if writes() != [2]bool{} {
			t.Errorf("writable: %v", writes())
		}
		for dir, want := range map[string]int64{outer: unix.MS_RDONLY | unix.MS_NOSUID, inner: unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NOEXEC} {
			var st unix.Statfs_t
			try("statfs", unix.Statfs(dir, &st))
			if got := st.Flags & 0xf; got != want {
				t.Errorf("%s: flags %#x, want %#x", dir, got, want)
			}
		}
	})
}
