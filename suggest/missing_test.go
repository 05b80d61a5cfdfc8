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

	"github.com/burin-labs/nomad-driver-harn/audit"
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
		if line.Kind == audit.FS {
			paths = append(paths, line.Path)
		}
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

// What a line says of writing is a wish to write: the file, or the directory of one
// that is not there.
func TestWishesToWrite(t *testing.T) {
	dir := there(t)
	for line, want := range map[string]string{
		"touch: cannot touch '@/x': Permission denied":                                                       "fs.write_file @/x",
		"touch: cannot touch '@/new': Read-only file system":                                                 "fs.make_reg @",
		"touch: cannot touch '@/new': No such file or directory":                                             "fs.make_reg @",
		"mkdir: cannot create directory ‘@/new’: Permission denied":                                          "fs.make_reg @",
		"mkdir: cannot create directory ‘@/none/new’: Permission denied":                                     "",
		"rm: cannot remove '@/x': Read-only file system":                                                     "fs.write_file @/x",
		"rm: cannot remove '@/x': Permission denied":                                                         "fs.write_file @/x",
		"rm: cannot remove '@/x': No such file or directory":                                                 "fs.read_file @/x",
		"sh: 1: cannot create @/new: Permission denied":                                                      "fs.make_reg @",
		"bash: line 1: @/x: Read-only file system":                                                           "fs.write_file @/x",
		"bash: line 1: @/x: Permission denied":                                                               "fs.read_file @/x",
		"OSError: [Errno 30] Read-only file system: '@/new'":                                                 "fs.make_reg @",
		"Error: EROFS: read-only file system, open '@/x'":                                                    "fs.write_file @/x",
		"Error: EACCES: permission denied, mkdir '@/new'":                                                    "fs.make_reg @",
		"Error: EACCES: permission denied, unlink '@/x'":                                                     "fs.write_file @/x",
		"open @/x: read-only file system":                                                                    "fs.write_file @/x",
		"mkdir @/new: permission denied":                                                                     "fs.make_reg @",
		"touch : impossible de faire un touch « @/x » : Système de fichiers accessible en lecture seulement": "fs.write_file @/x",
		"Error: Cannot find module '@/d/node_modules/p'":                                                     "fs.read_file @/d/node_modules",
		"Error: Cannot find module '@/d/node_modules/q'":                                                     "",
		"node: @/d/node_modules/p/node_modules/r: No such file or directory":                                 "fs.read_file @/d/node_modules",
	} {
		if err := os.MkdirAll(filepath.Join(dir, "d/node_modules/p/node_modules/r"), 0o755); err != nil {
			t.Fatal(err)
		}
		lines, err := FromLog(strings.NewReader(strings.ReplaceAll(line, "@", dir)))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for i := range lines {
			got = strings.TrimPrefix(got+"; "+lines[i].String(), "; ")
		}
		if want = strings.ReplaceAll(want, "@", dir); got != want {
			t.Errorf("%s: %q, expected %q", line, got, want)
		}
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
	f.Add("bash: socket: Operation not permitted\nbash: line 1: /dev/tcp/127.0.0.1/22: Operation not permitted\n")
	f.Add("ENOENT: no such file or directory, rename '/etc/hosts' -> '/etc/passwd'")
	f.Fuzz(func(t *testing.T, log string) {
		lines, err := FromLog(strings.NewReader(log))
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range lines {
			if line.Kind != audit.FS {
				continue
			}
			if _, err := os.Stat(line.Path); err != nil || !filepath.IsAbs(line.Path) {
				t.Errorf("%q", line.Path)
			}
		}
	})
}
