// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// at returns a target that the host has prepared, from the environment:
//
//	WORKSPACE, SECOND       the task's two writable roots
//	READONLY                a read-only root, with a file that the task's user owns
//	SYSTEM                  a directory of the system, writable for all by its mode
//	OUTSIDE, SECRET         a directory outside of every root, writable for all, and a file in it
//	STATE_DIR               the driver's records
//	VICTIM_*                another task of the same user
//	HOST_*                  a process of the same user on the host
//	TCP, TCP6, UDP, ...     where the host listens
func at(name string) string {
	value, found := os.LookupEnv("ATTACK_" + name)
	if !found {
		fmt.Fprintf(os.Stderr, "ATTACK_%s is not set\n", name)
		os.Exit(exitPreparation)
	}
	return value
}

func atInt(name string) int {
	n, err := strconv.ParseInt(at(name), 0, 64)
	if err != nil {
		fmt.Fprintf(os.Stderr, "ATTACK_%s: %v\n", name, err)
		os.Exit(exitPreparation)
	}
	return int(n)
}

// token is what every secret contains.
const token = "harn-secret-"

// errNothing: the operation worked, but it did not show or do anything.
var errNothing = errors.New("nothing there")

func leaked(data []byte, err error) error {
	if bytes.Contains(data, []byte(token)) {
		return nil
	}
	if err != nil {
		return err
	}
	return errNothing
}

func readSecret(path string) error { return leaked(os.ReadFile(path)) }

func readFrom(r io.Reader) error {
	buf := make([]byte, 4096)
	n, err := r.Read(buf)
	return leaked(buf[:n], err)
}

// reached tells whether an error shows that the kernel carried the call out up
// to the point where its arguments were looked at.
func reached(err error, proof ...error) error {
	for _, p := range proof {
		if errors.Is(err, p) {
			return nil
		}
	}
	return err
}

// fresh makes a new file in the workspace.
func fresh(name string) string {
	path := filepath.Join(at("WORKSPACE"), "attack-"+name)
	_ = os.RemoveAll(path)
	must(os.WriteFile(path, []byte(token+"of the workspace"), 0o666))
	return path
}

// freshName is a free name in the workspace.
func freshName(name string) string {
	path := filepath.Join(at("WORKSPACE"), "attack-"+name)
	_ = os.RemoveAll(path)
	return path
}

// exitPreparation is how an attack ends that cannot prepare itself.
const exitPreparation = 2

// must ends the attack if its own preparation fails: that is no refusal.
func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "preparing the attack:", err)
		os.Exit(exitPreparation)
	}
}

func secret() string   { return at("SECRET") }
func readonly() string { return at("READONLY") }
func outside() string  { return at("OUTSIDE") }

// readonlyFile belongs to the task's user.
func readonlyFile() string { return filepath.Join(readonly(), "file") }

func errno(n syscall.Errno) error {
	if n != 0 {
		return n
	}
	return nil
}

// call makes a system call.
func call(number uintptr, args ...uintptr) (uintptr, error) {
	var a [6]uintptr
	copy(a[:], args)
	r, _, n := unix.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5])
	return r, errno(n)
}

func do(number uintptr, args ...uintptr) error {
	_, err := call(number, args...)
	return err
}

// ptr is a string as an argument of a system call.
func ptr(s string) uintptr {
	p, err := unix.BytePtrFromString(s)
	must(err)
	kept = append(kept, p)
	return uintptr(unsafe.Pointer(p))
}

var kept []*byte // from the garbage collector

// open opens and closes a file.
func open(path string, flags int) error {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NOCTTY|unix.O_NONBLOCK, 0o666)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// hostPath is a path in /proc of the host process.
func hostPath(parts ...string) string {
	return "/proc/" + at("HOST_PID") + "/" + strings.Join(parts, "/")
}
