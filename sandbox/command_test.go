// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
	"github.com/burin-labs/nomad-driver-harn/landlock"
)

// commandDir makes a task directory with programs.
func commandDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"local", "bin", "elsewhere"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, mode := range map[string]os.FileMode{
		"local/agent": 0o755, "top": 0o755, "local/data": 0o644, "bin/tool": 0o755, "elsewhere/tool2": 0o755, "bin/agent": 0o755,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../elsewhere/tool2", filepath.Join(dir, "bin/link")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// viewOf is a view of the host in which the task can execute what the system has
// and what lies in roots.
func viewOf(roots ...string) *view {
	const all = landlock.Execute | landlock.ReadFile | landlock.ReadDir
	r := &landlock.Ruleset{HandledFS: all}
	for _, root := range append(realPaths(defaultSystemReadRoots), roots...) {
		r.Paths = append(r.Paths, landlock.PathRule{Path: root, Access: all})
	}
	return &view{ruleset: r}
}

func TestFindCommand(t *testing.T) {
	dir := commandDir(t)
	v := viewOf(dir+"/local", dir+"/bin", dir+"/top")
	path := "relative:" + dir + "/elsewhere:" + dir + "/bin"
	f := &finder{view: v, taskDir: dir, path: path}
	for command, want := range map[string]string{
		"agent":           "/local/agent", // local/ comes before PATH
		"top":             "/top",
		"tool":            "/bin/tool",
		"local/agent":     "/local/agent",
		"./local/agent":   "/local/agent",
		dir + "/bin/tool": "/bin/tool",
	} {
		if got, err := f.find(command); err != nil || got != dir+want {
			t.Errorf("%s: %s, %v, want %s", command, got, err, dir+want)
		}
	}
	for command, want := range map[string][]string{
		"none":                   {`"none" was not found`, "PATH", path},
		"local/none":             {`"local/none"`, "was not found"},
		"/none":                  {`"/none"`, "was not found"},
		"local":                  {`"local"`, "not a file"},
		"local/data":             {`"local/data"`, "not executable", "chmod"},
		"../x":                   {`"../x"`, "leaves the task directory"},
		dir + "/elsewhere/tool2": {"outside of every root", `read_only_roots = ["` + dir + `/elsewhere"]`},
		"tool2":                  {"outside of every root", dir + "/elsewhere"},
		"link":                   {"outside of every root", dir + "/elsewhere"}, // where it really is
	} {
		_, err := f.find(command)
		wantError(t, command, err, want...)
	}
	// Unconfined, there is no outside.
	if got, err := (&finder{view: &view{}, taskDir: dir, path: path}).find("tool2"); err != nil || got != dir+"/elsewhere/tool2" {
		t.Errorf("unconfined: %s, %v", got, err)
	}
}

// A command that was written for a shell, or with its arguments, is answered with what
// to write.
func TestCommandsThatAreNone(t *testing.T) {
	f := &finder{view: &view{}, taskDir: commandDir(t), path: "/usr/bin:/bin"}
	for command, want := range map[string]string{
		"/bin/echo hello  world": `write command = "/bin/echo" and args = ["hello", "world"]`,
		"sh -c ls":               `write command = "sh" and args = ["-c", "ls"]`,
		"local/agent $${X}":      `write command = "local/agent" and args = ["$$${X}"]`, // as HCL quotes it
		"echo a | cat":           `write command = "/bin/sh" and args = ["-c", "echo a | cat"]`,
		"make && make install":   `args = ["-c", "make && make install"]`,
		"cd /srv":                `args = ["-c", "cd /srv"]`,
		"source":                 `args = ["-c", "source"]`,
		" /bin/echo ":            "begins or ends with white space",
		"  ":                     "it is white space",
		"$SHELL":                 "Nomad expands ${NAME} alone",
		"harn-none x":            `"harn-none x" was not found in local/`, // nothing is known of it
		"harn-none":              `"harn-none" was not found in local/`,
	} {
		_, err := f.find(command)
		wantError(t, command, err, want)
		if f.unset != "" {
			t.Errorf("%s: to be made executable: %s", command, f.unset)
		}
	}
}

// Where a file system lets nothing be executed, no mode of a file helps.
func TestNothingIsExecutedWithoutExec(t *testing.T) {
	kerneltest.Root(t)
	dir := commandDir(t)
	runtime.LockOSThread() // for good: it ends with the test
	if err := errors.Join(
		unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("tmpfs", dir+"/local", "tmpfs", unix.MS_NOEXEC, "mode=755"), os.WriteFile(dir+"/local/run", []byte("#!/bin/sh\n"), 0o755),
	); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir+"/local", unix.MNT_DETACH)
	f := &finder{view: &view{}, taskDir: dir, path: "/bin", own: dir}
	_, err := f.find("local/run")
	wantError(t, "noexec", err, dir+"/local/run lies where nothing can be executed", "noexec", "put the program in local", `args = ["`+dir+`/local/run"]`)
	if f.unset != "" {
		t.Errorf("to be made executable: %s", f.unset)
	}
}

// A file of the task's own becomes executable, as by Nomad's own drivers: an artifact
// that is one file has no such permission. Nobody can read more by that, and what is
// shared, or has other names, stays as it is.
func TestCommandIsMadeExecutable(t *testing.T) {
	dir := commandDir(t)
	for _, sub := range []string{"alloc", "secrets"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, mode := range map[string]os.FileMode{"local/closed": 0o600, "local/plain": 0o644, "local/tool": 0o644, "alloc/x": 0o644, "secrets/x": 0o644, "local/linked": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink("plain", filepath.Join(dir, "local/link")), os.Link(filepath.Join(dir, "local/linked"), filepath.Join(dir, "other"))); err != nil {
		t.Fatal(err)
	}
	find := func(command string) (string, error) {
		f := &finder{view: viewOf(dir), taskDir: dir, path: dir + "/bin", own: dir}
		_, err := f.find(command)
		return f.unset, err
	}
	for command, want := range map[string]os.FileMode{"local/data": 0o755, "local/link": 0o755, "closed": 0o700} {
		file, err := find(command)
		if err == nil {
			err = MakeExecutable(dir, file)
		}
		if info, failed := os.Stat(file); err != nil || failed != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want mode %o", command, err, info, want)
		}
	}
	for command, want := range map[string]string{"local/agent": "", "tool": ""} { // tool is in PATH, too, executable
		if file, err := find(command); file != want || err != nil {
			t.Errorf("%s: %q is to be made executable, %v", command, file, err)
		}
	}
	for _, command := range []string{"alloc/x", "secrets/x"} {
		_, err := find(command)
		wantError(t, command, err, "is not executable", "chmod +x")
	}
	file, err := find("local/linked")
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, "another name", MakeExecutable(dir, file), "has other names")
	if err := errors.Join(os.Remove(file), os.Symlink("/etc/passwd", file)); err != nil {
		t.Fatal(err)
	}
	wantError(t, "a link by then", MakeExecutable(dir, file), "local/linked")
	// Where it is its user's directory, as for run, nothing is changed.
	if _, err := (&finder{view: viewOf(dir), taskDir: dir, path: dir + "/bin"}).find("local/tool"); err == nil {
		t.Error("without a directory of the task's own, local/tool is to be made executable")
	}
}

// What is wrong with a program is said with what to do about it, and a program of
// which nothing is wrong beside it starts.
func TestWhatIsWrongWithAProgram(t *testing.T) {
	dir := tree(t, map[string]string{
		"local/good":        "#!/bin/sh\n",
		"local/env":         "#!/usr/bin/env sh\n",
		"local/argument":    "#!/bin/sh -e\r\n", // the interpreter is there
		"local/none":        "#!/usr/bin/harn-none\necho hi\n",
		"local/none-of-env": "#!/usr/bin/env harn-none\n",
		"local/crlf":        "#!/bin/sh\r\necho hi\r\n",
		"local/env-crlf":    "#!/usr/bin/env sh\r\n",
		"local/plain":       "#!/bin/sh\n",
		"local/own":         "#!@/local/good\n",
		"local/closed":      "#!/root/.harn-none/bin/x\n",
	})
	if err := os.Chmod(dir+"/local/plain", 0o644); err != nil {
		t.Fatal(err)
	}
	v := viewOf(dir)
	v.private = true
	v.mounts = append(topLevel(true), bindAll(append(realPaths(defaultSystemReadRoots), dir), true)...)
	f := &finder{view: v, taskDir: dir, path: "/usr/bin"}
	for command, want := range map[string][]string{
		"local/good": nil, "local/env": nil, "local/argument": nil, "local/own": nil, "local/none-of-env": nil, "good": nil,
		"local/none":       {`the interpreter of ` + dir + `/local/none, "/usr/bin/harn-none", does not exist`},
		"local/crlf":       {"first line", "carriage return", "LF"},
		"local/env-crlf":   {"carriage return"},
		"local/plain":      {"not executable", `perms = "755"`, "chmod +x"},
		"/local/good":      {`command: "/local/good" was not found`, `the task directory is not / here: write "local/good"`},
		"/alloc/data/good": {`write "alloc/data/good"`},
		"~/good":           {`command: "~/good" was not found`, "~ is not expanded"},
		"":                 {"command: it is empty"},
	} {
		_, err := f.find(command)
		if want == nil && err != nil {
			t.Errorf("%s: %v", command, err)
		} else if want != nil {
			wantError(t, command, err, want...)
		}
	}
	// Of what is closed to the task, nothing is said.
	if _, err := f.find("local/closed"); err != nil && strings.Contains(err.Error(), "does not exist") {
		t.Errorf("an interpreter in a closed place: %v", err)
	}
	for dir, want := range map[string]string{"/local": `work_dir: "/local" was not found: the task directory is not / here: write "local"`, "~/x": "~ is not expanded", "local/no": "was not found", "local/none": `work_dir: "local/none" is a file`, "local/none/x": `work_dir: "local/none/x"`, "/": "leave work_dir out", "local/new": `work_dir: "local/new" does not exist: create it before the task starts`} {
		_, err := v.findWorkDir(dir, f.taskDir)
		wantError(t, dir, err, want)
	}
	if got, err := v.findWorkDir("local", f.taskDir); err != nil || got != dir+"/local" {
		t.Errorf("local: %s, %v", got, err)
	}
}
