// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package netns_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/egress/netns"
	"github.com/burin-labs/nomad-driver-harn/internal/nettest"
)

func open(t testing.TB, c netns.Config) *netns.Space {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	s, err := netns.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// connect says what becomes of a connection.
func connect(address netip.AddrPort) error {
	conn, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(address))
	if err != nil {
		return err
	}
	return conn.Close()
}

func TestConnections(t *testing.T) {
	own := netip.MustParseAddr("192.0.2.7")
	s := open(t, netns.Config{
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.1.0.0/16")},
		Own:       []netip.Addr{own, netip.MustParseAddr("2001:db8::7")},
	})
	if !s.IPv6 {
		t.Fatal("the namespace has no IPv6")
	}
	f, err := net.FileListener(s.TCP)
	if err != nil {
		t.Fatal(err)
	}
	listener := f.(*net.TCPListener)
	defer listener.Close()
	for _, c := range []struct {
		to   string
		want error // nil: it ends at the listener
	}{
		{"198.18.0.5:443", nil},
		{"198.19.255.254:1", nil},
		{"198.18.0.5:65535", nil},
		{"[fd68:6172:6e00::5]:443", nil},
		{"10.1.2.3:9000", nil},
		{"[2001:db8:1::1]:53", nil},
		{"127.0.0.1:443", unix.ECONNREFUSED},
		{"127.1.2.3:443", unix.ECONNREFUSED},
		{"[::1]:443", unix.ECONNREFUSED},
		{"198.18.0.1:443", unix.ECONNREFUSED},
		{"[fd68:6172:6e00::1]:443", unix.ECONNREFUSED},
		{"192.0.2.7:443", unix.ECONNREFUSED},
		{"[2001:db8::7]:443", unix.ECONNREFUSED},
		{"10.2.0.1:443", unix.ENETUNREACH},
		{"1.1.1.1:443", unix.ENETUNREACH},
		{"169.254.169.254:80", unix.ENETUNREACH},
		{"[2606:4700::1111]:443", unix.ENETUNREACH},
		{"198.20.0.1:443", unix.ENETUNREACH},
	} {
		to := netip.MustParseAddrPort(c.to)
		var got error
		nettest.Inside(t, s.Namespace, func() { got = connect(to) })
		if !errors.Is(got, c.want) {
			t.Errorf("%v: %v, expected %v", to, got, c.want)
			continue
		}
		if c.want != nil || got != nil {
			continue
		}
		if err := listener.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		conn, err := listener.Accept()
		if err != nil {
			t.Fatalf("%v: %v", to, err)
		}
		at := conn.LocalAddr().(*net.TCPAddr).AddrPort()
		if at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port()); at != to {
			t.Errorf("%v: was made to %v", to, at)
		}
		conn.Close()
	}
}

// The task's own services are its own, and no service takes another's connections.
func TestOwnServices(t *testing.T) {
	own := netip.MustParseAddr("192.0.2.7")
	s := open(t, netns.Config{Own: []netip.Addr{own}})
	nettest.Inside(t, s.Namespace, func() {
		for _, at := range []string{"127.0.0.1:8080", "[::1]:8080", "192.0.2.7:8080", "0.0.0.0:8081"} {
			l, err := net.Listen("tcp", at)
			if err != nil {
				t.Errorf("listening on %s: %v", at, err)
				continue
			}
			defer l.Close()
			if at == "0.0.0.0:8081" {
				at = "192.0.2.7:8081"
			}
			if err := connect(netip.MustParseAddrPort(at)); err != nil {
				t.Errorf("connecting to %s: %v", at, err)
			}
		}
		// One that listens on a synthetic address gets nothing.
		l, err := net.Listen("tcp", "198.18.0.9:443")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if err := connect(netip.MustParseAddrPort("198.18.0.9:443")); err != nil {
			t.Fatal(err)
		}
		if err := l.(*net.TCPListener).SetDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if c, err := l.Accept(); err == nil {
			t.Error("a service of the task took a connection to a synthetic address")
			c.Close()
		}
		if _, err := net.Listen("tcp", "127.0.0.1:53"); err == nil {
			t.Error("the port of the name server can be taken")
		}
	})
}

func TestNothingElseIsThere(t *testing.T) {
	s := open(t, netns.Config{})
	nettest.Inside(t, s.Namespace, func() {
		interfaces, err := net.Interfaces()
		if err != nil || len(interfaces) != 1 {
			t.Errorf("interfaces: %v (%v), expected lo alone", interfaces, err)
		}
		// UDP to a synthetic address is answered by the kernel: there is no such port.
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: 443, Addr: [4]byte{198, 18, 0, 5}}); err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Write(fd, []byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Write(fd, []byte("x")); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("UDP: %v, expected %v", err, unix.ECONNREFUSED)
		}
	})
}

// When the program is gone, nobody takes connections: there is no network then.
func TestWithoutLookup(t *testing.T) {
	s := open(t, netns.Config{})
	s.Lookup.Close()
	nettest.Inside(t, s.Namespace, func() {
		if err := connect(netip.MustParseAddrPort("198.18.0.5:443")); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("%v, expected %v", err, unix.ECONNREFUSED)
		}
	})
}

func TestThreadsStayWhereTheyAre(t *testing.T) {
	before, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		open(t, netns.Config{})
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		if at, err := os.Readlink(fmt.Sprintf("/proc/self/task/%s/ns/net", thread.Name())); err == nil && at != before && !strings.Contains(at, "deleted") {
			t.Errorf("thread %s is in %s, expected %s", thread.Name(), at, before)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	for b.Loop() {
		s, err := netns.Open(netns.Config{})
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}
