// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package audit

import (
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

// TestMain gives the tests a network namespace.
func TestMain(m *testing.M) {
	kerneltest.Isolate()
	os.Exit(m.Run())
}

// The kernel announces interfaces to this group, in any network namespace, so that it
// can stand in for the audit log, which is written in the initial one alone.
const linkGroup = unix.RTMGRP_LINK

// announce has the kernel announce lo.
func announce(t *testing.T, up bool) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	if up {
		request.SetUint16(unix.IFF_UP)
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		t.Fatal(err)
	}
}

// port is the port ID of a reader's socket.
func port(t *testing.T, fd int) uint32 {
	t.Helper()
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return name.(*unix.SockaddrNetlink).Pid
}

// ofGroup finds the reader's socket among this process's.
func ofGroup(t *testing.T) (fd int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		var n int
		for _, c := range e.Name() {
			n = 10*n + int(c-'0')
		}
		if name, err := unix.Getsockname(n); err == nil {
			if at, ok := name.(*unix.SockaddrNetlink); ok && at.Groups == linkGroup {
				return n
			}
		}
	}
	t.Fatal("the reader has no socket in the group")
	return -1
}

// What others send to the port or the group of a reader is passed over, and what the
// kernel sends afterwards arrives: also after an error, once the reader is opened again.
func TestReaderTakesWhatTheKernelSends(t *testing.T) {
	kerneltest.Root(t)
	r, err := open(unix.NETLINK_ROUTE, linkGroup)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	other, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(other)

	type got struct {
		kind uint16
		err  error
	}
	next := func() got {
		t.Helper()
		c := make(chan got, 1)
		go func() {
			kind, _, _, err := r.Next()
			c <- got{kind, err}
		}()
		select {
		case g := <-c:
			return g
		case <-time.After(10 * time.Second):
			t.Fatal("nothing arrives")
			return got{}
		}
	}
	send := func() {
		t.Helper()
		fd := ofGroup(t)
		// A record of a denial that was none, and what is no message at all.
		forged := make([]byte, 64)
		forged[0], forged[4], forged[5] = 64, typeLandlockAccess&0xff, typeLandlockAccess>>8
		for _, to := range []*unix.SockaddrNetlink{{Family: unix.AF_NETLINK, Pid: port(t, fd)}, {Family: unix.AF_NETLINK, Groups: linkGroup}} {
			for _, message := range [][]byte{forged, {1}, nil} {
				if err := unix.Sendto(other, message, 0, to); err != nil && len(message) > 0 {
					t.Fatalf("sending %d bytes to %+v: %v", len(message), to, err)
				}
			}
		}
	}

	send()
	announce(t, false)
	if g := next(); g.err != nil || g.kind != unix.RTM_NEWLINK {
		t.Fatalf("type %d, %v, want the kernel's RTM_NEWLINK", g.kind, g.err)
	}

	// The socket becomes something that nothing can be received from.
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if err := unix.Dup3(int(null.Fd()), ofGroup(t), unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	if g := next(); !errors.Is(g.err, unix.ENOTSOCK) {
		t.Fatalf("%v, want the socket's error", g.err)
	}
	if err := r.Reopen(); err != nil {
		t.Fatal(err)
	}
	send()
	announce(t, true)
	if g := next(); g.err != nil || g.kind != unix.RTM_NEWLINK {
		t.Errorf("opened again: type %d, %v, want the kernel's RTM_NEWLINK", g.kind, g.err)
	}
}
