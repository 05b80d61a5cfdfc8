// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package landlock_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/internal/attempt"
	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
	. "github.com/burin-labs/nomad-driver-harn/landlock"
)

func TestMain(m *testing.M) { kerneltest.Main(m) }

// tree makes files to try operations on, and returns their directory.
func tree(t *testing.T) string {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"a/sub", "a/empty", "b"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"a/f", "a/g", "a/sub/f", "b/f"} {
		if err := os.WriteFile(filepath.Join(root, file), []byte("text"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	program, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "a/program"), program, 0o777); err != nil {
		t.Fatal(err)
	}
	return root
}

// system lets a confined child run programs.
var system = []PathRule{
	{Path: "/usr", Access: Execute | ReadFile | ReadDir},
}

func ruleset(abi ABI, rules ...PathRule) *Ruleset {
	return &Ruleset{HandledFS: abi.Rights().FS, Paths: rules}
}

// Every right is shown twice: an operation that needs it is denied by a rule
// with all other rights, and admitted by a rule with all rights.
func TestEachRightAdmitsItsOperation(t *testing.T) {
	kerneltest.Root(t) // for mknod
	abi := kerneltest.Landlock(t, 1)

	for _, tc := range []struct {
		right AccessFS
		since ABI
		op    func(dir string) attempt.Op
	}{
		{Execute, 1, func(d string) attempt.Op { return attempt.New("exec", d+"/a/program") }},
		{WriteFile, 1, func(d string) attempt.Op { return attempt.New("write", d+"/a/f") }},
		{ReadFile, 1, func(d string) attempt.Op { return attempt.New("read", d+"/a/f") }},
		{ReadDir, 1, func(d string) attempt.Op { return attempt.New("list", d+"/a/sub") }},
		{RemoveDir, 1, func(d string) attempt.Op { return attempt.New("rmdir", d+"/a/empty") }},
		{RemoveFile, 1, func(d string) attempt.Op { return attempt.New("unlink", d+"/a/f") }},
		{MakeChar, 1, func(d string) attempt.Op { return attempt.New("mknod", d+"/a/null") }},
		{MakeDir, 1, func(d string) attempt.Op { return attempt.New("mkdir", d+"/a/new") }},
		{MakeReg, 1, func(d string) attempt.Op { return attempt.New("create", d+"/a/new") }},
		{MakeSock, 1, func(d string) attempt.Op { return attempt.New("listen", "unix", d+"/a/s") }},
		{MakeFifo, 1, func(d string) attempt.Op { return attempt.New("mkfifo", d+"/a/new") }},
		{MakeSym, 1, func(d string) attempt.Op { return attempt.New("symlink", d+"/a/new") }},
		{Refer, 2, func(d string) attempt.Op { return attempt.New("rename", d+"/a/f", d+"/a/sub/new") }},
		{Truncate, 3, func(d string) attempt.Op { return attempt.New("truncate", d+"/a/f") }},
		{IoctlDev, 5, func(string) attempt.Op { return attempt.New("ioctl", "/dev/ptmx") }},
	} {
		t.Run(strings.Trim(tc.right.String(), "{}"), func(t *testing.T) {
			kerneltest.Landlock(t, tc.since)
			all := abi.Rights().FS
			answer := func(granted AccessFS) string {
				dir := tree(t)
				rules := append([]PathRule{
					{Path: dir, Access: granted},
					{Path: "/dev", Access: granted},
				}, system...)
				return kerneltest.Try(t, kerneltest.Confinement{Ruleset: ruleset(abi, rules...)}, tc.op(dir))[0]
			}
			denied := "EACCES"
			if tc.right == Refer {
				denied = "EXDEV"
			}
			if got := answer(all &^ tc.right); got != denied {
				t.Errorf("without the right: %s, want %s", got, denied)
			}
			if got := answer(all); got != attempt.OK {
				t.Errorf("with the right: %s, want OK", got)
			}
		})
	}
}

func TestRulesHoldForTheirTreeOnly(t *testing.T) {
	abi := kerneltest.Landlock(t, 1)
	dir := tree(t)
	rules := ruleset(abi, PathRule{Path: dir + "/a", Access: ReadFile | ReadDir})
	answers := kerneltest.Try(t, kerneltest.Confinement{Ruleset: rules},
		attempt.New("read", dir+"/a/f"),
		attempt.New("read", dir+"/a/sub/f"),
		attempt.New("list", dir+"/a"),
		attempt.New("read", dir+"/b/f"),
		attempt.New("read", dir+"/a/../b/f"),
		attempt.New("list", dir),
		attempt.New("list", "/"),
		attempt.New("write", dir+"/a/f"),
	)
	want := []string{"OK", "OK", "OK", "EACCES", "EACCES", "EACCES", "EACCES", "EACCES"}
	if strings.Join(answers, " ") != strings.Join(want, " ") {
		t.Errorf("got %v, want %v", answers, want)
	}
}

// A rule on a file with directory rights is EINVAL in the kernel: they are dropped.
func TestRuleOnAFile(t *testing.T) {
	abi := kerneltest.Landlock(t, 1)
	dir := tree(t)
	rules := ruleset(abi, PathRule{Path: dir + "/a/f", Access: ReadFile | ReadDir | Execute})
	answers := kerneltest.Try(t, kerneltest.Confinement{Ruleset: rules},
		attempt.New("read", dir+"/a/f"), attempt.New("read", dir+"/a/g"))
	if answers[0] != attempt.OK || answers[1] != "EACCES" {
		t.Errorf("got %v, want [OK EACCES]", answers)
	}
	// Rights for directories only leave no rule, which is not an error either.
	rules = ruleset(abi, PathRule{Path: dir + "/a/f", Access: ReadDir})
	if got := kerneltest.Try(t, kerneltest.Confinement{Ruleset: rules}, attempt.New("read", dir+"/a/f"))[0]; got != "EACCES" {
		t.Errorf("got %s, want EACCES", got)
	}
}

func TestTCPAndScopes(t *testing.T) {
	abi := kerneltest.Landlock(t, 6)
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	abstract, err := net.Listen("unix", "@harn-landlock-test")
	if err != nil {
		t.Fatal(err)
	}
	defer abstract.Close()

	ops := []attempt.Op{
		attempt.New("connect", "tcp", server.Addr().String()),
		attempt.New("listen", "tcp", "127.0.0.1:0"),
		attempt.New("connect", "unix", "@harn-landlock-test"),
		attempt.New("signal", "1"),
	}
	open := kerneltest.Try(t, kerneltest.Confinement{}, ops...)
	closed := kerneltest.Try(t, kerneltest.Confinement{Ruleset: &Ruleset{
		HandledFS:  ReadDir,
		HandledNet: abi.Rights().Net,
		Scoped:     abi.Rights().Scope,
	}}, ops...)
	wantOpen := "OK OK OK OK"
	if os.Geteuid() != 0 {
		wantOpen = "OK OK OK EPERM"
	}
	if got := strings.Join(open, " "); got != wantOpen {
		t.Errorf("unconfined: got %s, want %s", got, wantOpen)
	}
	if got, want := strings.Join(closed, " "), "EACCES EACCES EPERM EPERM"; got != want {
		t.Errorf("confined: got %s, want %s", got, want)
	}
}

func TestOpenRefusesWhatIsNotTheRealPath(t *testing.T) {
	abi := kerneltest.Landlock(t, 1)
	dir := tree(t)
	if err := os.Symlink(dir+"/a", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		rule PathRule
		want string // part of the error, none if it is admitted
	}{
		{PathRule{Path: dir + "/a"}, ""},
		{PathRule{Path: dir + "/a/f"}, ""},
		{PathRule{Path: dir + "/link"}, "symbolic link"},
		{PathRule{Path: dir + "/link/f"}, "symbolic link"},
		{PathRule{Path: dir + "/none"}, "no such file"},
		{PathRule{Path: dir + "/none", Optional: true}, ""},
		{PathRule{Path: "relative"}, "not an absolute path"},
		{PathRule{Path: dir + "/a/../b"}, "not an absolute path"},
		{PathRule{Path: ""}, "not an absolute path"},
	} {
		tc.rule.Access = ReadFile
		set, err := ruleset(abi, tc.rule).Open()
		switch {
		case err == nil:
			set.Close()
			if tc.want != "" {
				t.Errorf("%s: admitted, want an error with %q", tc.rule.Path, tc.want)
			}
		case tc.want == "" || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), tc.rule.Path):
			t.Errorf("%s: got %v, want an error with %q and the path", tc.rule.Path, err, tc.want)
		}
	}
}

func TestOpenNamesRightsThatTheKernelLacks(t *testing.T) {
	kerneltest.Landlock(t, 1)
	_, err := (&Ruleset{HandledFS: ReadFile | 1<<60}).Open()
	if err == nil || !strings.Contains(err.Error(), "landlock_create_ruleset") || !strings.Contains(err.Error(), "0x1000000000000000") {
		t.Errorf("got %v, want an error that names the call and the right", err)
	}
}

func TestDeniedNoticesAMissingConfinement(t *testing.T) {
	if err := Denied("/"); err == nil {
		t.Error("an unconfined process passes the check")
	}
	if err := Denied("/nowhere"); err == nil || !strings.Contains(err.Error(), "EACCES") {
		t.Errorf("got %v, want an error that expected EACCES", err)
	}
}
