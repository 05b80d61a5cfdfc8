// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package nettest has the services, files and namespaces of tests of the network. Who
// uses it is in namespaces of its own, see package kerneltest.
package nettest

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

// FreePort is a port of 127.0.0.1 that nobody listens on.
func FreePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// Hello is the port of a web server on 127.0.0.1, which says hello to the host that it
// is asked for, until the end of the test.
func Hello(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello %s\n", r.Host)
	})}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return l.Addr().(*net.TCPAddr).Port
}

// File has a file of the node, as /etc/hosts, say something else until the end of the
// test.
func File(t testing.TB, name, text string) {
	t.Helper()
	shown := filepath.Join(t.TempDir(), filepath.Base(name))
	if err := os.WriteFile(shown, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	name, err := filepath.EvalSymlinks(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(shown, name, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(name, unix.MNT_DETACH) })
}

// Inside runs f on a thread in a network namespace.
func Inside(t testing.TB, namespace *os.File, f func()) {
	t.Helper()
	var err error
	kerneltest.Thread(func() {
		if err = unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err == nil {
			f()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
