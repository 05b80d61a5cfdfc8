// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/executor"
)

// What errors say of a command does not depend on what is behind a directory that
// others may not search, nor in a protected place.
func TestErrorsOfCommandsConceal(t *testing.T) {
	dir, base := commandDir(t), t.TempDir()
	if err := os.Chmod(filepath.Dir(base), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"closed/dir", "place/dir", "open/dir", "telling"} {
		if err := os.MkdirAll(filepath.Join(base, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(base, "closed"), 0o700); err != nil {
		t.Fatal(err)
	}
	telling := filepath.Join(base, "telling/interpreter")
	files := map[string]os.FileMode{"word": 0o644, "program": 0o755, "script": 0o700}
	for _, sub := range []string{"closed", "place", "open"} {
		for name, mode := range files {
			if err := os.WriteFile(filepath.Join(base, sub, name), []byte("#!"+telling+"\n"), mode); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink(telling, filepath.Join(base, sub, "link")); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(telling, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(base, "closed/word"), filepath.Join(base, "open/lead")); err != nil {
		t.Fatal(err)
	}
	v := viewOf(dir)
	v.private = true
	v.places = []place{{path: base + "/place", real: base + "/place", what: "of a test"}}
	f := &finder{view: v, taskDir: dir, path: base + "/closed:" + base + "/place"}
	said := func(path string) string {
		_, err := f.find(path)
		if err == nil {
			t.Fatalf("%s: found", path)
		}
		return err.Error()
	}
	for _, sub := range []string{"closed", "place"} {
		said1 := strings.ReplaceAll(said(filepath.Join(base, sub, "none")), "none", "NAME")
		for _, name := range []string{"word", "program", "script", "link", "dir"} {
			if got := strings.ReplaceAll(said(filepath.Join(base, sub, name)), name, "NAME"); got != said1 {
				t.Errorf("%s/%s:\n%s, and of what is not there\n%s", sub, name, got, said1)
			}
		}
	}
	if got, none := said("program"), said("none"); !strings.Contains(got, "was not found") || strings.ReplaceAll(got, "program", "none") != none {
		t.Errorf("a name in PATH: %s, and of what is not there\n%s", got, none)
	}
	if got := said(base + "/open/lead"); strings.Contains(got, "word") {
		t.Errorf("a link of everybody's: %s", got)
	}
	if got := said(base + "/open/script"); strings.Contains(got, "telling") {
		t.Errorf("the first line of root's script: %s", got)
	}
	// The siblings, which anybody can see, are described.
	for name, want := range map[string]string{"none": "was not found", "word": "not executable", "dir": "not a file", "program": "outside of every root", "link": telling} {
		if got := said(filepath.Join(base, "open", name)); !strings.Contains(got, want) {
			t.Errorf("open/%s: %s, want %q", name, got, want)
		}
	}
}

func TestPublic(t *testing.T) {
	base := t.TempDir()
	if err := os.Chmod(filepath.Dir(base), 0o755); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]os.FileMode{"a/b": 0o755, "c": 0o711, "d": 0o700} {
		if err := os.MkdirAll(filepath.Join(base, path), mode); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"a/up": "../d/x", "a/abs": base + "/c", "a/loop": "loop", "l": "a/b/../../d"} {
		if err := os.Symlink(target, filepath.Join(base, link)); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]bool{
		"a": true, "a/b/x/y": true, "c/x": true, "d": true, "d/x": false, "a/up": false, "a/abs/x": true, "a/loop": false, "l": true, "l/x": false, "a/../d/x": false,
	} {
		if got := public(fmt.Sprint(base, "/", path), nil); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}

// So does what they say of a working directory.
func TestErrorsOfWorkDirConceal(t *testing.T) {
	dir, base := commandDir(t), t.TempDir()
	if err := os.MkdirAll(filepath.Join(base, "closed/there"), 0o700); err != nil {
		t.Fatal(err)
	}
	v := viewOf(dir)
	v.private = true
	v.mounts = []placed{{Mount: executor.Mount{Type: executor.Bind, Source: dir, Target: dir}}}
	said := func(name string) string {
		_, err := v.findWorkDir(filepath.Join(base, "closed", name), dir)
		if err == nil {
			t.Fatalf("%s: found", name)
		}
		return strings.ReplaceAll(err.Error(), name, "NAME")
	}
	if there, none := said("there"), said("none"); there != none {
		t.Errorf("%s, and of what is not there\n%s", there, none)
	}
	if got, err := v.findWorkDir("local", dir); err != nil || got != dir+"/local" {
		t.Errorf("%s, %v", got, err)
	}
}

// What a script names as its interpreter is opened, so it must be a file, and nothing that
// waits: a FIFO is open for writing here, so that an open(2) which does not look would succeed.
func TestOnlyFilesAreOpened(t *testing.T) {
	dir := t.TempDir()
	fifo, file, leased := dir+"/fifo", dir+"/file", dir+"/leased"
	if err := unix.Mkfifo(fifo, 0o666); err != nil {
		t.Fatal(err)
	}
	writer, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	for _, name := range []string{file, leased} {
		if err := os.WriteFile(name, []byte("text"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	holder, err := os.OpenFile(leased, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	if _, err := unix.FcntlInt(holder.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{fifo: errNotAFile, dir: errNotAFile, "/dev/null": errNotAFile, leased: unix.EAGAIN, dir + "/none": fs.ErrNotExist, file: nil} {
		f, err := openFile(path)
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
		if err == nil {
			f.Close()
		}
	}
}
