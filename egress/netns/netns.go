// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package netns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"

	"github.com/vishvananda/netlink"
	vishnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Config says what a namespace has.
type Config struct {
	// Addresses have routes besides those of the synthetic ranges.
	Addresses []netip.Prefix
	// Own are addresses that the task's own services can have.
	Own []netip.Addr
}

// Space is a network namespace with its sockets. All are close-on-exec.
type Space struct {
	Namespace *os.File
	// TCP takes the connections to all addresses that are not the task's own.
	TCP *os.File
	// DNS are 127.0.0.1:53 of UDP and TCP.
	DNSPackets, DNSStreams *os.File
	// Lookup keeps the program in place that chooses TCP: as long as it is open.
	Lookup *os.File
	// IPv6 says whether the namespace has it.
	IPv6 bool
}

// Close closes all of it.
func (s *Space) Close() {
	for _, f := range []*os.File{s.Namespace, s.TCP, s.DNSPackets, s.DNSStreams, s.Lookup} {
		if f != nil {
			f.Close()
		}
	}
}

// Open makes a namespace. It takes CAP_SYS_ADMIN and CAP_NET_ADMIN.
func Open(c Config) (*Space, error) {
	s := &Space{}
	if err := inNew(func(namespace *os.File) error {
		s.Namespace = namespace
		return s.open(&c)
	}); err != nil {
		s.Close()
		return nil, fmt.Errorf("network namespace for egress: %w", err)
	}
	return s, nil
}

// Add adds routes of addresses, as those of [Config].
func (s *Space) Add(addresses []netip.Prefix) error {
	if len(addresses) == 0 {
		return nil
	}
	h, err := netlink.NewHandleAt(vishnetns.NsHandle(s.Namespace.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("netlink socket in the network namespace for egress: %w", err)
	}
	defer h.Close()
	return s.addRoutes(h, addresses)
}

// inNew runs f on a thread in a new network namespace.
func inNew(f func(namespace *os.File) error) error {
	done := make(chan error)
	go func() {
		// The thread is used again once it is back in the namespace of all others. If that
		// fails, it ends with this function.
		runtime.LockOSThread()
		const own = "/proc/thread-self/ns/net"
		back, err := os.Open(own)
		if err != nil {
			done <- err
			return
		}
		defer back.Close()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			runtime.UnlockOSThread()
			done <- fmt.Errorf("unshare(CLONE_NEWNET): %w", err)
			return
		}
		namespace, err := os.Open(own)
		if err == nil {
			err = f(namespace)
		}
		if left := unix.Setns(int(back.Fd()), unix.CLONE_NEWNET); left != nil {
			err = errors.Join(err, fmt.Errorf("setns(2) back from it: %w", left))
		} else {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

func (s *Space) open(c *Config) error {
	if err := s.route(c); err != nil {
		return err
	}
	var err error
	loopback := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 53)
	if s.DNSPackets, err = listen(unix.SOCK_DGRAM, loopback); err != nil {
		return err
	}
	if s.DNSStreams, err = listen(unix.SOCK_STREAM, loopback); err != nil {
		return err
	}
	all := netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	if s.IPv6 {
		all = netip.AddrPortFrom(netip.IPv6Unspecified(), 0)
	}
	if s.TCP, err = listen(unix.SOCK_STREAM, all); err != nil {
		return err
	}
	s.Lookup, err = chooseListener(s.Namespace, s.TCP, append([]netip.Addr{Host4, Host6}, c.Own...))
	return err
}

// loopbackIndex is that of lo: the first interface of each namespace.
const loopbackIndex = 1

// route gives the namespace its addresses and routes.
func (s *Space) route(c *Config) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("netlink socket: %w", err)
	}
	defer h.Close()
	lo := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: loopbackIndex}}
	if err := h.LinkSetUp(lo); err != nil {
		return fmt.Errorf("setting lo up: %w", err)
	}
	if s.IPv6, err = addHost6(h, lo); err != nil {
		return err
	}
	for _, own := range append([]netip.Addr{Host4}, c.Own...) {
		if own.Is6() && !s.IPv6 || own.IsLoopback() {
			continue
		}
		if err := addAddress(h, lo, own); err != nil {
			return fmt.Errorf("adding the address %v to lo: %w", own, err)
		}
	}
	return s.addRoutes(h, append([]netip.Prefix{Range4, Range6}, c.Addresses...))
}

func (s *Space) addRoutes(h *netlink.Handle, prefixes []netip.Prefix) error {
	for _, p := range prefixes {
		if p.Addr().Is6() && !s.IPv6 || !routable(p) {
			continue
		}
		err := h.RouteAdd(&netlink.Route{
			LinkIndex: loopbackIndex, Dst: ipNet(p), Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL, Scope: unix.RT_SCOPE_HOST,
		})
		if err != nil && !errors.Is(err, unix.EEXIST) { // an address of its own, or a rule said twice
			return fmt.Errorf("adding the local route %v: %w", p, err)
		}
	}
	return nil
}

// addHost6 reports whether the namespace has IPv6, and gives it its address.
func addHost6(h *netlink.Handle, lo netlink.Link) (bool, error) {
	err := addAddress(h, lo, Host6)
	// It was left out of the kernel, or switched off.
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("adding the address %v to lo: %w", Host6, err)
	}
	return true, nil
}

func addAddress(h *netlink.Handle, lo netlink.Link, address netip.Addr) error {
	a := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(address, address.BitLen()))}
	if address.Is6() {
		a.Flags = unix.IFA_F_NODAD // there is nobody to ask
	}
	return h.AddrAdd(lo, a)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// unroutable are ranges that no connection can be made to, or that are the task's own.
var unroutable = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("224.0.0.0/4"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("::/128"), netip.MustParsePrefix("ff00::/8"), netip.MustParsePrefix("fe80::/10"),
}

func routable(p netip.Prefix) bool {
	return !slices.ContainsFunc(unroutable, func(u netip.Prefix) bool { return u.Bits() <= p.Bits() && u.Contains(p.Addr()) })
}

// backlog is how many connections wait for the forwarder to take them.
const backlog = 1024

// listen makes a socket that serves an address; one of IPv6 without an address serves
// those of IPv4 as well.
func listen(kind int, at netip.AddrPort) (f *os.File, err error) {
	what := fmt.Sprintf("socket for %v", at)
	family, address := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()})
	if at.Addr().Is4() {
		family, address = unix.AF_INET, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: socket(2): %w", what, err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	if family == unix.AF_INET6 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0); err != nil {
			return nil, fmt.Errorf("%s: setsockopt(IPV6_V6ONLY): %w", what, err)
		}
	}
	if err := unix.Bind(fd, address); err != nil {
		return nil, fmt.Errorf("%s: bind(2): %w", what, err)
	}
	if kind == unix.SOCK_STREAM {
		if err := unix.Listen(fd, backlog); err != nil {
			return nil, fmt.Errorf("%s: listen(2): %w", what, err)
		}
	}
	return os.NewFile(uintptr(fd), what), nil
}
