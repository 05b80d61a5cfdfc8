// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestOpenLog(t *testing.T) {
	alloc := t.TempDir()
	logs := filepath.Join(alloc, "alloc", "logs")
	if err := os.MkdirAll(logs, 0o777); err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(logs, ".t.stdout.fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(alloc, "secret")
	if err := os.WriteFile(secret, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"link": fifo, "link-out": "/etc/passwd"} {
		if err := os.Symlink(target, filepath.Join(logs, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("logs", filepath.Join(alloc, "alloc", "dir-link")); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(logs, "link"):                                 "symbolic link",
		filepath.Join(logs, "link-out"):                             "symbolic link",
		filepath.Join(alloc, "alloc", "dir-link", ".t.stdout.fifo"): "symbolic link",
		filepath.Join(logs, "none"):                                 "no such file",
		secret:                                                      "not a FIFO",
		"/etc/passwd":                                               "not in the allocation's directory",
		logs + "/../../../x":                                        "not in the allocation's directory",
	} {
		_, err := openLog(alloc, path)
		wantError(t, path, err, want)
	}
	for _, path := range []string{"", os.DevNull} {
		f, err := openLog(alloc, path)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	// A reader that comes a little later, and what it reads.
	read := make(chan string)
	go func() {
		time.Sleep(20 * time.Millisecond)
		r, err := os.Open(fifo)
		if err != nil {
			read <- err.Error()
			return
		}
		defer r.Close()
		text, _ := io.ReadAll(r)
		read <- string(text)
	}()
	f, err := openLog(alloc, fifo)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("line\n"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if got := <-read; got != "line\n" {
		t.Errorf("read %q", got)
	}
}
