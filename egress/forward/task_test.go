// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package forward

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/egress/netns"
	"github.com/burin-labs/nomad-driver-harn/egress/rule"
	"github.com/burin-labs/nomad-driver-harn/internal/nettest"
)

// task is a network namespace with a forwarder, which is goroutines of the test.
type task struct {
	t         testing.TB
	space     *netns.Space
	forwarder *forwarder
	upstream  *upstream

	mutex  sync.Mutex
	events []Event
}

// upstream is the node's name server.
type upstream struct {
	address netip.AddrPort
	mutex   sync.Mutex
	zone    map[string][]string // records by name; "" is NXDOMAIN, and "truncated" answers that
	asked   []string
}

func newUpstream(t testing.TB, zone map[string][]string) *upstream {
	t.Helper()
	u := &upstream{zone: zone}
	conn, listener := listenBoth(t)
	u.address = conn.LocalAddr().(*net.UDPAddr).AddrPort()
	for _, s := range []*dns.Server{{PacketConn: conn, Handler: u.handler("udp")}, {Listener: listener, Handler: u.handler("tcp")}} {
		go func() { _ = s.ActivateAndServe() }()
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	return u
}

// listenBoth listens on a port of UDP that is free for TCP as well.
func listenBoth(t testing.TB) (net.PacketConn, net.Listener) {
	t.Helper()
	for {
		conn, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listener, err := net.Listen("tcp", conn.LocalAddr().String())
		if err == nil {
			return conn, listener
		}
		conn.Close()
		if !errors.Is(err, unix.EADDRINUSE) {
			t.Fatal(err)
		}
	}
}

func (u *upstream) handler(network string) dns.HandlerFunc {
	return func(w dns.ResponseWriter, q *dns.Msg) {
		u.mutex.Lock()
		defer u.mutex.Unlock()
		m := new(dns.Msg).SetReply(q)
		name := strings.TrimSuffix(q.Question[0].Name, ".")
		u.asked = append(u.asked, name)
		records, ok := u.zone[name]
		if !ok {
			m.Rcode = dns.RcodeNameError
		}
		for _, text := range records {
			if text == "truncated" {
				if m.Truncated = network == "udp"; m.Truncated {
					break
				}
				continue
			}
			rr, err := dns.NewRR(text)
			if err != nil {
				panic(err)
			}
			if kind := rr.Header().Rrtype; kind == q.Question[0].Qtype || kind == dns.TypeCNAME {
				m.Answer = append(m.Answer, rr)
			}
		}
		_ = w.WriteMsg(m)
	}
}

func (u *upstream) set(name string, records ...string) {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	u.zone[name] = records
}

func (u *upstream) names() []string {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	return slices.Clone(u.asked)
}

func rules(t testing.TB, texts ...string) (out []rule.Rule) {
	t.Helper()
	for _, text := range texts {
		r, err := rule.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

func newTask(t testing.TB, set rule.Set, zone map[string][]string) *task {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	x := &task{t: t, upstream: newUpstream(t, zone)}
	space, err := netns.Open(netns.Config{Addresses: set.AddressRules()})
	if err != nil {
		t.Fatal(err)
	}
	x.space = space
	t.Cleanup(space.Close)
	p := &Plan{
		Rules: set, IPv6: space.IPv6, Synthetic4: netns.Range4, Synthetic6: netns.Range6, Key: []byte("key"),
		Resolver: Resolver{Servers: []netip.AddrPort{x.upstream.address}, Timeout: 2 * time.Second, Attempts: 2},
	}
	x.forwarder = newForwarder(p, x.add, x.add)
	names := &nameServer{rules: &p.Rules, table: x.forwarder.table, ipv6: p.IPv6, report: x.add}
	packets, err := net.FilePacketConn(space.DNSPackets)
	if err != nil {
		t.Fatal(err)
	}
	listener := func(f *os.File) *net.TCPListener {
		l, err := net.FileListener(f)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l.(*net.TCPListener)
	}
	streams, connections := listener(space.DNSStreams), listener(space.TCP)
	t.Cleanup(func() { packets.Close() })
	go func() { _ = names.servePackets(packets) }()
	go func() { _ = names.serveStreams(streams) }()
	go func() { _ = x.forwarder.serve(connections, x.forwarder.outward) }()
	return x
}

func (x *task) add(e Event) {
	x.mutex.Lock()
	defer x.mutex.Unlock()
	x.events = append(x.events, e)
}

// reported waits for an event that fits.
func (x *task) reported(fits func(Event) bool) bool {
	for range 100 {
		x.mutex.Lock()
		found := slices.ContainsFunc(x.events, fits)
		x.mutex.Unlock()
		if found {
			return true
		}
		time.Sleep(20 * time.Millisecond)
	}
	return false
}

// inside runs f on a thread in the task's namespace.
func (x *task) inside(f func()) {
	x.t.Helper()
	nettest.Inside(x.t, x.space.Namespace, f)
}

// run runs a program in the task's namespace, with its name server.
func (x *task) run(command ...string) (string, error) {
	x.t.Helper()
	conf := filepath.Join(x.t.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, []byte("nameserver 127.0.0.1\n"), 0o644); err != nil {
		x.t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.Command("unshare", append([]string{"-m", "--propagation", "private", "sh", "-c", `mount --bind "$0" "$(readlink -f /etc/resolv.conf)" && exec "$@"`, conf}, command...)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	var err error
	x.inside(func() { err = cmd.Start() })
	if err == nil {
		err = cmd.Wait()
	}
	return strings.TrimSpace(out.String()), err
}

// dial connects in the task's namespace. By package net, a connection that is reset at
// once would be none.
func (x *task) dial(address string) (conn *net.TCPConn, err error) {
	x.t.Helper()
	to := netip.MustParseAddrPort(address)
	x.inside(func() {
		family, at := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()})
		if to.Addr().Is4() {
			family, at = unix.AF_INET, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
		}
		var fd int
		if fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return
		}
		if err = unix.Connect(fd, at); err != nil {
			unix.Close(fd)
			return
		}
		file := os.NewFile(uintptr(fd), "connection")
		defer file.Close()
		var c net.Conn
		if c, err = net.FileConn(file); err == nil {
			conn = c.(*net.TCPConn)
		}
	})
	return conn, err
}

// to returns the synthetic address of a name, with a port.
func (x *task) to(name string, port uint16) string {
	four, _, ok := x.forwarder.table.address(name)
	if !ok {
		x.t.Fatalf("no address for %s", name)
	}
	return netip.AddrPortFrom(four, port).String()
}

// ask asks the task's name server.
func (x *task) ask(network, name string, kind uint16) *dns.Msg {
	x.t.Helper()
	m := new(dns.Msg).SetQuestion(name, kind)
	m.SetEdns0(1232, false)
	var answer *dns.Msg
	var err error
	x.inside(func() {
		c := dns.Client{Net: network, Timeout: 2 * time.Second}
		answer, _, err = c.Exchange(m, "127.0.0.1:53")
	})
	if err != nil {
		x.t.Fatalf("%s, %s: %v", network, name, err)
	}
	return answer
}

// service is a server on the node, which f serves.
func service(t testing.TB, f func(*net.TCPConn)) (port uint16) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go f(c.(*net.TCPConn))
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort().Port()
}

var (
	range4 = netns.Range4
	range6 = netns.Range6
)

func question(name string) dnsmessage.Question {
	return dnsmessage.Question{Name: dnsmessage.MustNewName(name), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}
}
