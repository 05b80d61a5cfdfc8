// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package denials

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/audit"
	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

// A list that found no room for a while is read once there is some: it has every line
// that was added before and after.
func TestListAfterAFullDisk(t *testing.T) {
	kerneltest.Root(t)
	at := t.TempDir()
	if err := unix.Mount("tmpfs", at, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(at, unix.MNT_DETACH) })
	f, err := os.OpenFile(filepath.Join(at, "list"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	some := func(path string, n int) (lines []audit.Line) {
		for range n {
			lines = append(lines, audit.Line{Task: "t", Denial: audit.Denial{Kind: "fs", Rights: []string{"fs.read_file"}, Path: path, Count: 1}})
		}
		return lines
	}
	add := func(lines []audit.Line) {
		t.Helper()
		if err := appendLines(f, lines); err != nil {
			t.Fatal(err)
		}
	}
	add(some("/before", 2))
	// Some room is left: a part of what comes fits.
	ballast := filepath.Join(at, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 48<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := appendLines(f, some("/fits", 10)); err != nil {
		t.Fatal(err) // it fits yet
	}
	if err := appendLines(f, some("/"+strings.Repeat("x", 4000), 20)); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	add(some("/after", 3))
	// As a plugin leaves it that is killed while it writes.
	if _, err := f.WriteString(`{"kind":"pa`); err != nil {
		t.Fatal(err)
	}
	add(some("/last", 4))

	text, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	lines, err := audit.ReadLines(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for _, line := range lines {
		if line.Truncated {
			found["cut off"]++
		} else {
			found[line.Path[:4]]++
		}
	}
	if found["/bef"] != 2 || found["/fit"] != 10 || found["/aft"] != 3 || found["/las"] != 4 || found["cut off"] != 1 || found["/xxx"] != 0 {
		t.Errorf("%v", found)
	}
}
