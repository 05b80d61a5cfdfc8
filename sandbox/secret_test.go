// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/policy"
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
	// A name that is in no directory of PATH is no reason to open one.
	if got := said("none"); strings.Contains(got, "read_only_roots") || !strings.Contains(got, "nothing is said of what is in "+base+"/closed, "+base+"/place") {
		t.Errorf("a name in PATH: %s", got)
	}
	if got := said(base + "/open/lead"); strings.Contains(got, "word") {
		t.Errorf("a link of everybody's: %s", got)
	}
	if got := said(base + "/open/script"); strings.Contains(got, "telling") {
		t.Errorf("the first line of root's script: %s", got)
	}
	// So it is by links and first lines that an earlier start, or an artifact, has left.
	mounted := *v
	mounted.mounts = append(topLevel(true), bindAll(append(realPaths(defaultSystemReadRoots), dir), true)...)
	f.view = &mounted
	for how, leave := range map[string]func(file, target string) error{
		"a link":              func(file, target string) error { return os.Symlink(target, file) },
		"a link that goes on": func(file, target string) error { return os.Symlink(target+"/../../open/word", file) },
		"a first line":        func(file, target string) error { return os.WriteFile(file, []byte("#!"+target+"\n"), 0o755) },
		"a first line of env": func(file, target string) error {
			return os.WriteFile(file, []byte("#!/usr/bin/env "+filepath.Base(target)+"\n"), 0o755)
		},
		"a link of first line": func(file, target string) error {
			return errors.Join(os.Symlink(target, file+".link"), os.WriteFile(file, []byte("#!"+file+".link\n"), 0o755))
		},
	} {
		for _, sub := range []string{"closed", "place"} {
			f.path = filepath.Join(base, sub)
			answers := map[string]string{}
			for _, name := range []string{"none", "word", "program", "script", "link", "dir"} {
				file := filepath.Join(dir, "local", name)
				if err := errors.Join(os.RemoveAll(file), os.RemoveAll(file+".link"), leave(file, filepath.Join(base, sub, name))); err != nil {
					t.Fatal(err)
				}
				_, err := f.find("local/" + name)
				answers[name] = strings.ReplaceAll(fmt.Sprint(err), "/"+name, "/NAME")
				if (err == nil) != (how == "a first line of env") {
					t.Errorf("%s: %s/%s: %v", how, sub, name, err)
				}
				if answers[name] != answers["none"] {
					t.Errorf("%s: %s/%s:\n%s, and of what is not there\n%s", how, sub, name, answers[name], answers["none"])
				}
				if err := errors.Join(os.RemoveAll(file), os.RemoveAll(file+".link")); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	f.view = v
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
	// Nor does a link that an earlier start has left say more.
	answers := map[string]string{}
	for _, name := range []string{"none", "there", "file"} {
		if name == "file" {
			if err := os.WriteFile(base+"/closed/file", nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink(base+"/closed/"+name, dir+"/local/"+name); err != nil {
			t.Fatal(err)
		}
		_, err := v.findWorkDir("local/"+name, dir)
		answers[name] = strings.ReplaceAll(fmt.Sprint(err), name, "NAME")
		if err == nil || answers[name] != answers["none"] {
			t.Errorf("a link to %s: %s, and to what is not there\n%s", name, answers[name], answers["none"])
		}
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

// Of a binary, which an earlier start can have made, little is read, whatever its headers
// say: a file that takes no space on disk must not fill this process's memory.
func TestLittleOfABinaryIsRead(t *testing.T) {
	const size, phoff = 8 << 30, 64
	header := func(change func(h *elf.Header64, p *elf.Prog64, s *elf.Section64)) []byte {
		h := elf.Header64{Type: uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Version: 1, Ehsize: 64, Phoff: phoff, Phentsize: 56, Phnum: 1, Shoff: phoff + 56, Shentsize: 64}
		copy(h.Ident[:], elf.ELFMAG+"\x02\x01\x01")
		p, s := elf.Prog64{Type: uint32(elf.PT_INTERP), Off: 4096, Filesz: 16}, elf.Section64{}
		change(&h, &p, &s)
		var b bytes.Buffer
		for _, part := range []any{h, p, s} {
			if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
				t.Fatal(err)
			}
		}
		return b.Bytes()
	}
	for name, text := range map[string][]byte{
		"program headers": header(func(h *elf.Header64, _ *elf.Prog64, _ *elf.Section64) { h.Phnum, h.Phentsize = 65535, 65535 }),
		"of their size":   header(func(h *elf.Header64, _ *elf.Prog64, _ *elf.Section64) { h.Phnum = 65535 }),
		"sections":        header(func(_ *elf.Header64, _ *elf.Prog64, s *elf.Section64) { s.Size = 64 << 20 }),
		"an interpreter":  header(func(_ *elf.Header64, p *elf.Prog64, _ *elf.Section64) { p.Filesz = size / 2 }),
		"libraries": header(func(_ *elf.Header64, p *elf.Prog64, _ *elf.Section64) {
			p.Type, p.Filesz = uint32(elf.PT_DYNAMIC), size/2
		}),
	} {
		dir := tree(t, map[string]string{"local/agent": string(text)})
		if err := os.Truncate(dir+"/local/agent", size); err != nil {
			t.Fatal(err)
		}
		f := &finder{view: viewOf(dir), taskDir: dir}
		n := &needs{finder: f, seen: map[string]bool{}}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := f.find("local/agent"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		n.others(dir + "/local/agent")
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 4<<20 {
			t.Errorf("%s: looking at it took %d bytes", name, took)
		}
	}
}

// Neither is all of a directory read that the task has filled.
func TestDirectoriesAreReadInPart(t *testing.T) {
	dir := t.TempDir()
	for i := range policy.MaxSiblings + 2*namesAtOnce {
		if err := unix.Mknod(fmt.Sprintf("%s/%d", dir, i), unix.S_IFREG|0o600, 0); err != nil {
			t.Fatal(err)
		}
	}
	list, err := names(dir)
	if err != nil || len(list) <= policy.MaxSiblings || len(list) > policy.MaxSiblings+namesAtOnce {
		t.Errorf("%d names, %v", len(list), err)
	}
	if list, err := names(dir + "/none"); len(list) > 0 || err != nil {
		t.Errorf("of no directory: %q, %v", list, err)
	}
}
