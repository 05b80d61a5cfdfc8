// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package forward

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

// What ends on this machine, by ip(8) in a network namespace of the test's own.
func TestIsOwn(t *testing.T) {
	kerneltest.Root(t)
	ip, err := exec.LookPath("ip")
	if err != nil {
		kerneltest.Missing(t, "no ip(8): %v", err)
	}
	kerneltest.Thread(func() {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Error(err)
			return
		}
		for _, args := range []string{
			"link set lo up", "link add d0 type veth peer name d1", "link set d1 up", "link set d0 up",
			"addr add 93.184.216.1/24 dev d0", "addr add 93.184.216.77/24 dev d0", "addr add 9.9.9.9/32 dev lo",
			"route add local 8.8.0.0/16 dev lo", "-6 route add local 2a01:dba::/64 dev lo", "-6 addr add 2a01:dbb::1/64 dev d0 nodad", "-6 addr add 2a01:dbb::2/64 dev d0 nodad",
			"route add 7.7.7.0/24 via 93.184.216.2",
		} {
			if out, err := exec.Command(ip, strings.Fields(args)...).CombinedOutput(); err != nil {
				t.Errorf("ip %s: %v: %s", args, err, out)
			}
		}
		for address, want := range map[string]bool{
			"93.184.216.1": true, "93.184.216.77": true, "9.9.9.9": true, "8.8.8.8": true, "127.0.0.2": true, "93.184.216.255": true, "::ffff:93.184.216.77": true,
			"2a01:dba::7": true, "2a01:dbb::1": true, "2a01:dbb::2": true, "::1": true,
			"93.184.216.2": false, "7.7.7.7": false, "2a01:dbb::3": false,
			"5.5.5.5": false, "2a02::1": false, // no route
		} {
			if got := isOwn(netip.MustParseAddr(address)); got != want {
				t.Errorf("%s: %v, want %v", address, got, want)
			}
		}
	})
}

// An answer of somebody else is none.
func TestRouteOfTheKernel(t *testing.T) {
	kerneltest.Root(t)
	var fds [2]int
	for i := range fds {
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			t.Fatal(err)
		}
		fds[i] = fd
	}
	at, err := unix.Getsockname(fds[0])
	if err != nil {
		t.Fatal(err)
	}
	// The request with the type of an answer: one of type 0.
	forged := routeRequest(netip.MustParseAddr("127.0.0.1"))
	forged[4] = unix.RTM_NEWROUTE
	if err := unix.Sendto(fds[1], forged, 0, at); err != nil {
		t.Fatal(err)
	}
	if err := unix.Sendto(fds[0], routeRequest(netip.MustParseAddr("127.0.0.1")), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		t.Fatal(err)
	}
	if kind, err := receiveRoute(fds[0]); err != nil || kind != unix.RTN_LOCAL {
		t.Errorf("%d, %v, want the kernel's RTN_LOCAL", kind, err)
	}
}
