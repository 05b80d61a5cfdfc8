// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

// mountSmall mounts a file system of a kind on a file of 128 MiB, and returns where.
func mountSmall(t *testing.T, kind string) string {
	t.Helper()
	kerneltest.Root(t)
	base := t.TempDir()
	image, at := filepath.Join(base, "image"), filepath.Join(base, "mounted")
	if err := os.Mkdir(at, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 128<<20); err != nil {
		t.Fatal(err)
	}
	mkfs, err := exec.LookPath("mkfs." + kind)
	if err != nil {
		t.Skipf("%v: make setup installs it", err)
	}
	if out, err := exec.Command(mkfs, "-q", image).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v, %s", mkfs, err, out)
	}
	if out, err := exec.Command("mount", "-t", kind, "-o", "loop", image, at).CombinedOutput(); err != nil {
		t.Skipf("no loop device, or no %s here: %v, %s", kind, err, out)
	}
	t.Cleanup(func() { _ = unix.Unmount(at, unix.MNT_DETACH) })
	return at
}

// fill leaves no room on the file system of a directory.
func fill(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "fill"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{1 << 20, 4 << 10, 1 << 10} {
		for err = nil; err == nil; {
			if _, err = f.Write(make([]byte, size)); err == nil && size < 1<<20 {
				err = f.Sync()
			}
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
		_ = f.Sync() // what was written late may have found no room
	}
}

// A disk that is full loses no record that was prepared, whatever its file system.
func TestPreparedRecordsOnAFullDisk(t *testing.T) {
	for _, kind := range []string{"btrfs", "ext4"} {
		t.Run(kind, func(t *testing.T) {
			at := mountSmall(t, kind)
			root, err := os.OpenRoot(at)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			var records []*preparedRecord
			for n := range 20 {
				r, err := prepareRecord(root, fmt.Sprintf("exit%d", n))
				if err != nil {
					t.Fatal(err)
				}
				defer r.file.Close()
				records = append(records, r)
			}
			// As tasks run for a while: what was prepared is on the disk.
			for _, r := range records {
				if err := r.file.Sync(); err != nil {
					t.Fatal(err)
				}
			}
			fill(t, at)
			if err := os.WriteFile(filepath.Join(at, "more"), make([]byte, 1<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
				t.Fatalf("the disk is not full: %v", err)
			}
			for n, r := range records {
				name := fmt.Sprintf("exit%d", n)
				var e Exit
				if err := readRecord(at, name, &e); !errors.Is(err, errNoRecord) {
					t.Errorf("before it is written: %+v, %v", e, err)
				}
				if err := r.write(&Exit{Code: n, At: time.Now()}); err != nil {
					t.Error(err)
				} else if err := r.file.Sync(); err != nil {
					t.Error(err)
				} else if err := readRecord(at, name, &e); err != nil || e.Code != n {
					t.Errorf("%s: %+v, %v", name, e, err)
				}
			}
		})
	}
}

// Where no room could be reserved, a record waits for some.
func TestRecordWaitsForRoom(t *testing.T) {
	kerneltest.Root(t)
	at := t.TempDir()
	if err := unix.Mount("tmpfs", at, "tmpfs", 0, "size=64k,mode=700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(at, unix.MNT_DETACH) })
	f, err := os.OpenFile(filepath.Join(at, "exit"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fill(t, at)
	r := &preparedRecord{"exit", f}
	if err := r.write(&Exit{Code: 3}); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	written := make(chan error, 1)
	go func() { written <- r.writeWithRoom(&Exit{Code: 3}) }()
	time.Sleep(3 * roomPause) // it has tried
	if err := os.Remove(filepath.Join(at, "fill")); err != nil {
		t.Fatal(err)
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	var e Exit
	if err := readRecord(at, "exit", &e); err != nil || e.Code != 3 {
		t.Errorf("%+v, %v", e, err)
	}
}
