// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package suggest

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// there makes a directory with all that the lines of testdata name.
func there(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"x", "y", "x.c", "x.h", "x.a", "x.o", "x.rs", "x.java", "x.gz", "with space", "d/Cargo.toml", "d/.s.PGSQL.5432", "d/a"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func found(t *testing.T, log string) (paths []string) {
	t.Helper()
	lines, err := FromLog(strings.NewReader(log))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		paths = append(paths, line.Path)
	}
	return paths
}

// Lines that real programs have written, each with what it names: testdata/lines.txt
// has program, paths and line, where @ stands for the directory. Each line also finds
// nothing where the host has no such file.
func TestLinesOfPrograms(t *testing.T) {
	text, err := os.ReadFile("testdata/lines.txt")
	if err != nil {
		t.Fatal(err)
	}
	dir := there(t)
	n := 0
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); n++ {
		fields := strings.SplitN(lines.Text(), "\t", 3)
		if len(fields) != 3 {
			t.Fatalf("%q", lines.Text())
		}
		var want []string
		if fields[1] != "" {
			want = strings.Split(strings.ReplaceAll(fields[1], "@/", "\x00"+dir+"/"), "\x00")[1:]
		}
		for i := range want {
			want[i] = strings.TrimSuffix(want[i], " ")
		}
		line := strings.ReplaceAll(fields[2], "@/", dir+"/")
		got := found(t, "before\n"+line+"\nafter\n")
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %s\n\tgot %q, expected %q", fields[0], fields[2], got, want)
		}
		if got := found(t, strings.ReplaceAll(fields[2], "@/", dir+"/none/")); len(got) > 0 {
			t.Errorf("%s: %s: the host does not have %q", fields[0], fields[2], got)
		}
	}
	if n < 100 {
		t.Errorf("%d lines", n)
	}
}

// What is near a message but is not what it is about, is not taken for it.
func TestLinesThatNameSomethingElse(t *testing.T) {
	dir := there(t)
	for _, line := range []string{
		"@/x: line 4: secrets/y: No such file or directory",
		"@/x: line 4: secrets: No such file or directory",
		"@/x:3:in `initialize': No such file or directory @ rb_sysopen - y (Errno::ENOENT)",
		`  File "@/x", line 3, in <module>`,
		"FileNotFoundError: [Errno 2] No such file or directory: 'y'",
		"    at Object.<anonymous> (@/x:1:1)",
		"Error: Cannot find module 'y'\nRequire stack:\n- @/x",
		"read @/x", "@/x", "wrote @/x: ok", "  @/x",
		"cat: y: No such file or directory; see @/x",
		"i.c:1:10: fatal error: y.h: No such file or directory\n    1 | #include <@/x>",
		"no such file or directory: y/@/x",
	} {
		if got := found(t, strings.ReplaceAll(line, "@/", dir+"/")); len(got) > 0 {
			t.Errorf("%s: %q", line, got)
		}
	}
}

// A path on a line of its own counts behind the message alone.
func TestPathBelowItsMessage(t *testing.T) {
	dir := there(t)
	log := "CMake Error at CMakeLists.txt:1 (file):\n  file failed to open for reading (No such file or directory):\n\n    " + dir + "/x\n\n  " + dir + "/y\n"
	if got := found(t, log); !slices.Equal(got, []string{dir + "/x"}) {
		t.Errorf("%q", got)
	}
}

// A log is a task's: lines without an end, bytes that are no text, and names that are
// long find nothing, and hinder nothing.
func TestHostileLogs(t *testing.T) {
	dir := there(t)
	log := strings.Repeat("x", 3<<20) + "\n" + "\xff\xfe: /\x00: No such file or directory\n" +
		"cat: /" + strings.Repeat("a", 5000) + ": No such file or directory\n" + strings.Repeat("'/", 5000) + "\n" +
		"cat: " + dir + "/x: No such file or directory"
	if got := found(t, log); !slices.Equal(got, []string{dir + "/x"}) {
		t.Errorf("%q", got)
	}
}

func FuzzFromLog(f *testing.F) {
	f.Add("cat: /etc/hostname: No such file or directory\n")
	f.Add("ENOENT: no such file or directory, rename '/etc/hosts' -> '/etc/passwd'")
	f.Fuzz(func(t *testing.T, log string) {
		lines, err := FromLog(strings.NewReader(log))
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range lines {
			if _, err := os.Stat(line.Path); err != nil || !filepath.IsAbs(line.Path) {
				t.Errorf("%q", line.Path)
			}
		}
	})
}
