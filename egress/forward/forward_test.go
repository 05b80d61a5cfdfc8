// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package forward

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/egress/netns"
	"github.com/burin-labs/nomad-driver-harn/egress/rule"
	"github.com/burin-labs/nomad-driver-harn/internal/nettest"
	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

const here = "127.0.0.0/8" // where the tests' services are

func TestCurl(t *testing.T) {
	port := uint16(nettest.Hello(t))
	x := newTask(t, rule.Set{
		Allow: rules(t, fmt.Sprintf("api.example.com:%d", port), "*.example.org", here, "203.0.113.5", "any.example.com"),
		Deny:  rules(t, "evil.example.org"),
	}, map[string][]string{
		"api.example.com":  {"api.example.com. 5 IN A 127.0.0.1"},
		"any.example.com":  {"any.example.com. 5 IN A 127.0.0.1"},
		"a.example.org":    {"a.example.org. 5 IN CNAME b.cdn.example.", "b.cdn.example. 5 IN A 127.0.0.1"},
		"evil.example.org": {"evil.example.org. 5 IN A 127.0.0.1"},
		"bad.example.org":  {"bad.example.org. 5 IN CNAME evil.example.org.", "evil.example.org. 5 IN A 127.0.0.1"},
		"pypi.org":         {"pypi.org. 5 IN A 127.0.0.1"},
	})
	for _, c := range []struct {
		url  string
		want string // what curl prints; or its exit code
	}{
		{fmt.Sprintf("http://api.example.com:%d/", port), fmt.Sprintf("hello api.example.com:%d", port)},
		{fmt.Sprintf("http://API.Example.COM.:%d/", port), "hello"},
		{fmt.Sprintf("http://any.example.com:%d/", port), "hello any"},
		{fmt.Sprintf("http://a.example.org:%d/", port), "hello a"},
		{"http://api.example.com:1/", "exit status 56"}, // reset
		{fmt.Sprintf("http://evil.example.org:%d/", port), "exit status 6"},
		{fmt.Sprintf("http://bad.example.org:%d/", port), "exit status 56"},
		{fmt.Sprintf("http://example.org:%d/", port), "exit status 6"},
		{fmt.Sprintf("http://pypi.org:%d/", port), "exit status 6"},
		{fmt.Sprintf("http://127.0.0.1:%d/", port), "exit status 7"},
		{"http://1.1.1.1/", "exit status 7"},
		{"http://169.254.169.254/", "exit status 7"},
		{"http://198.18.77.77/", "exit status 56"},
	} {
		for _, version := range []string{"-4", "-6"} {
			if version == "-6" && strings.Contains(c.url, ".1") {
				continue
			}
			out, err := x.run("curl", "-s", version, "--noproxy", "*", "--max-time", "10", c.url)
			if err != nil {
				out = err.Error()
			}
			// Of a connection that is reset, curl says that it failed (7), or that sending (55)
			// or receiving (56) did: where it was when it heard of it.
			reset := c.want == "exit status 56" && (out == "exit status 7" || out == "exit status 55")
			if !reset && !strings.Contains(out, c.want) {
				t.Errorf("curl %s %s: %q, expected %q", version, c.url, out, c.want)
			}
		}
	}
	for _, name := range []string{"pypi.org", "evil.example.org", "example.org"} {
		if slices.Contains(x.upstream.names(), name) {
			t.Errorf("the node's name server was asked for %s", name)
		}
		if !x.reported(func(e Event) bool { return e.Name == name && !e.Failed && e.Reason != "" }) {
			t.Errorf("%s is not reported", name)
		}
	}
	if !x.reported(func(e Event) bool {
		return e.Name == "api.example.com" && e.Port == 1 && e.Reason == "no allow rule matched"
	}) {
		t.Error("port 1 is not reported")
	}
	if !x.reported(func(e Event) bool {
		return e.Name == "bad.example.org" && strings.Contains(e.Reason, "alias of evil.example.org")
	}) {
		t.Error("the alias is not reported")
	}
	if !x.reported(func(e Event) bool {
		return e.Connected && e.Name == "api.example.com" && e.Port == port && e.Address == "127.0.0.1" && e.Sent > 0 && e.Received > 0
	}) {
		t.Error("the connection is not logged")
	}
}

func TestAddressesThatAreRefused(t *testing.T) {
	for _, address := range []string{
		"127.0.0.1", "169.254.169.254", "10.0.0.1", "0.0.0.0", "192.168.1.1", "100.64.0.1", "198.18.0.5", "224.0.0.1",
		"::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "::", "fe80::1", "fd00:ec2::254", "64:ff9b::7f00:1", "2002:7f00:1::",
	} {
		t.Run(address, func(t *testing.T) {
			kind := "A"
			if strings.Contains(address, ":") {
				kind = "AAAA"
			}
			x := newTask(t, rule.Set{Allow: rules(t, "*.example.com")}, map[string][]string{
				"a.example.com": {"a.example.com. 0 IN " + kind + " " + address},
			})
			conn, err := x.dial(x.to("a.example.com", 80))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
				t.Errorf("%v, expected %v", err, unix.ECONNRESET)
			}
			if !x.reported(func(e Event) bool {
				return e.Name == "a.example.com" && !e.Failed && strings.Contains(e.Reason, "it resolves to an address that is not admitted: ")
			}) {
				t.Errorf("not reported: %+v", x.events)
			}
		})
	}
}

// A name's addresses are looked at for each connection: those of before do not count.
func TestRebinding(t *testing.T) {
	port := uint16(nettest.Hello(t))
	x := newTask(t, rule.Set{Allow: rules(t, "a.example.com", "127.0.0.1")}, map[string][]string{
		"a.example.com": {"a.example.com. 0 IN A 127.0.0.1"},
	})
	get := func() error {
		conn, err := x.dial(x.to("a.example.com", port))
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("GET / HTTP/1.0\r\n\r\n")); err != nil {
			return err
		}
		_, err = io.ReadAll(conn)
		return err
	}
	for range 3 {
		x.upstream.set("a.example.com", "a.example.com. 0 IN A 127.0.0.1")
		if err := get(); err != nil {
			t.Fatal(err)
		}
		x.upstream.set("a.example.com", "a.example.com. 0 IN A 127.0.0.2")
		if err := get(); !errors.Is(err, unix.ECONNRESET) {
			t.Fatalf("%v, expected %v", err, unix.ECONNRESET)
		}
	}
}

func TestNameServer(t *testing.T) {
	x := newTask(t, rule.Set{Allow: rules(t, "a.example.com", "*.example.org:443")}, nil)
	long := strings.Repeat(strings.Repeat("a", 60)+".", 3)
	for _, c := range []struct {
		name  string
		kind  uint16
		code  int
		count int
	}{
		{"a.example.com.", dns.TypeA, dns.RcodeSuccess, 1},
		{"A.eXample.com.", dns.TypeA, dns.RcodeSuccess, 1},
		{"a.example.com.", dns.TypeAAAA, dns.RcodeSuccess, 1},
		{"x.y.example.org.", dns.TypeA, dns.RcodeSuccess, 1},
		{long + "example.org.", dns.TypeA, dns.RcodeSuccess, 1},
		{"a.example.com.", dns.TypeTXT, dns.RcodeSuccess, 0},
		{"a.example.com.", dns.TypeANY, dns.RcodeSuccess, 0},
		{"a.example.com.", dns.TypeHTTPS, dns.RcodeSuccess, 0},
		{"example.org.", dns.TypeA, dns.RcodeNameError, 0},
		{"secret.evil.com.", dns.TypeA, dns.RcodeNameError, 0},
		{"secret.evil.com.", dns.TypeTXT, dns.RcodeNameError, 0},
		{".", dns.TypeNS, dns.RcodeNameError, 0},
		{`a\000b.example.org.`, dns.TypeA, dns.RcodeNameError, 0},
		{`a\.b.example.org.`, dns.TypeA, dns.RcodeFormatError, 0},
		{`\228.example.org.`, dns.TypeA, dns.RcodeNameError, 0},
		{"1.0.18.198.in-addr.arpa.", dns.TypePTR, dns.RcodeNameError, 0},
	} {
		for _, network := range []string{"udp", "tcp"} {
			answer := x.ask(network, c.name, c.kind)
			if answer.Rcode != c.code || len(answer.Answer) != c.count {
				t.Errorf("%s %s %s: %s with %d answers, expected %s with %d", network, c.name, dns.TypeToString[c.kind],
					dns.RcodeToString[answer.Rcode], len(answer.Answer), dns.RcodeToString[c.code], c.count)
			}
		}
	}
	if asked := x.upstream.names(); len(asked) > 0 {
		t.Errorf("the node's name server was asked for %q", asked)
	}
}

// A table is limited; the name that was not used for longest goes, and one that is
// connected never does.
func TestManyNames(t *testing.T) {
	port := service(t, func(c *net.TCPConn) { _, _ = io.Copy(c, c); c.Close() })
	x := newTask(t, rule.Set{Allow: rules(t, "*.example.com", here)}, map[string][]string{
		"held.example.com": {"held.example.com. 0 IN A 127.0.0.1"},
	})
	held := x.to("held.example.com", port)
	conn, err := x.dial(held)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	echo := func(c net.Conn) error {
		if _, err := c.Write([]byte("x")); err != nil {
			return err
		}
		_, err := io.ReadFull(c, make([]byte, 1))
		return err
	}
	if err := echo(conn); err != nil {
		t.Fatal(err)
	}
	early := x.to("first.example.com", port)
	for i := range 10000 {
		if _, _, ok := x.forwarder.table.address(fmt.Sprintf("n%d.example.com", i)); !ok {
			t.Fatalf("no address for name %d", i)
		}
	}
	if n := len(x.forwarder.table.byName); n > mostNames || n != len(x.forwarder.table.byHost) {
		t.Errorf("the table has %d names, expected at most %d", n, mostNames)
	}
	if err := echo(conn); err != nil {
		t.Error(err)
	}
	if x.to("held.example.com", port) != held {
		t.Error("a name that is connected has another address now")
	}
	gone, err := x.dial(early)
	if err != nil {
		t.Fatal(err)
	}
	defer gone.Close()
	if err := echo(gone); err == nil {
		t.Error("the address of a name that has gone works")
	}
	if x.to("first.example.com", port) != early {
		t.Error("a name that has come back has another address")
	}
}

// Names that rules have whole keep their addresses, however many others are asked for.
func TestWholeNamesStay(t *testing.T) {
	p := &Plan{
		Rules: rule.Set{Allow: rules(t, "bank.example.com", "*.cdn.example.com")}, Key: []byte("key"),
		Synthetic4: netns.Range4, Synthetic6: netns.Range6,
	}
	table := newForwarder(p, nil, nil).table
	four, _, _ := table.address("bank.example.com")
	for i := range 2 * mostNames {
		if _, _, ok := table.address(fmt.Sprintf("n%d.cdn.example.com", i)); !ok {
			t.Fatalf("no address for name %d", i)
		}
	}
	if name, _, ok := table.open(four); !ok || name != "bank.example.com" {
		t.Errorf("the address is of %q (%v), expected bank.example.com", name, ok)
	}
}

// The node's servers are not asked at once for whatever a task connects to, nor again and
// again for what they do not know.
func TestServersAreSpared(t *testing.T) {
	now, most := 0, 0
	var mutex sync.Mutex
	asks := func(n int) {
		mutex.Lock()
		defer mutex.Unlock()
		now += n
		most = max(most, now)
	}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked := map[string]int{}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		asks(1)
		time.Sleep(20 * time.Millisecond)
		asks(-1)
		mutex.Lock()
		asked[q.Question[0].String()]++
		mutex.Unlock()
		_ = w.WriteMsg(new(dns.Msg).SetRcode(q, dns.RcodeNameError))
	})}
	go func() { _ = server.ActivateAndServe() }()
	defer func() { _ = server.Shutdown() }()
	r := newResolver(Resolver{Servers: []netip.AddrPort{conn.LocalAddr().(*net.UDPAddr).AddrPort()}, Timeout: 10 * time.Second, Attempts: 1})
	var all sync.WaitGroup
	for i := range 300 {
		all.Go(func() {
			if _, err := r.lookUp(t.Context(), fmt.Sprintf("n%d.example.com", i%150)); !errors.Is(err, errNoName) {
				t.Errorf("%v, expected %v", err, errNoName)
			}
		})
	}
	all.Wait()
	const kinds = 2 // of addresses
	if most > kinds*mostAsked || most < 2*kinds {
		t.Errorf("%d questions at once, expected at most %d", most, kinds*mostAsked)
	}
	for question, n := range asked {
		if n > 2 { // two may have begun before the first answer
			t.Errorf("%s was asked %d times", question, n)
		}
	}
}

// TCP Fast Open connects without connect(2), which Landlock's rules for ports are about.
func TestFiltersDenyFastOpen(t *testing.T) {
	arch, err := seccomp.Native()
	if err != nil {
		t.Fatal(err)
	}
	for name, filter := range map[string]*seccomp.Filter{"start": StartFilter(), "forwarder": Filter()} {
		program, err := seccomp.Compile(arch, filter)
		if err != nil {
			t.Fatal(err)
		}
		for flags, admitted := range map[uint64]bool{0: true, unix.MSG_NOSIGNAL: true, unix.MSG_FASTOPEN: false, unix.MSG_FASTOPEN | unix.MSG_NOSIGNAL: false} {
			action, err := program.Run(seccomp.Data{Number: unix.SYS_SENDTO, Arch: arch.Audit, Args: [6]uint64{3: flags}})
			if err != nil || (action == seccomp.Allow) != admitted {
				t.Errorf("%s: sendto with flags %#x: %v (%v), expected admitted %v", name, flags, action, err, admitted)
			}
		}
	}
}

func TestTransfer(t *testing.T) {
	data := make([]byte, 32<<20)
	_, _ = rand.Read(data)
	port := service(t, func(c *net.TCPConn) {
		// It answers only when all has come: the end of one direction is passed on.
		sum := sha256.New()
		n, _ := io.Copy(sum, c)
		fmt.Fprintf(c, "%d %x", n, sum.Sum(nil))
		c.Close()
	})
	x := newTask(t, rule.Set{Allow: rules(t, "a.example.com", here)}, map[string][]string{"a.example.com": {"truncated", "a.example.com. 9 IN A 127.0.0.1"}})
	conn, err := x.dial(x.to("a.example.com", port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.Copy(conn, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if want := fmt.Sprintf("%d %x", len(data), sha256.Sum256(data)); err != nil || string(got) != want {
		t.Errorf("%q (%v), expected %q", got, err, want)
	}
}

func TestEndsOfConnections(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(server *net.TCPConn) // what the server does after it has read a byte
		want error                     // of the client's reading; nil is the end
	}{
		{"closed", func(s *net.TCPConn) { s.Close() }, nil},
		{"half closed", func(s *net.TCPConn) { _ = s.CloseWrite(); _, _ = io.Copy(io.Discard, s); s.Close() }, nil},
		{"reset", func(s *net.TCPConn) { _ = s.SetLinger(0); s.Close() }, unix.ECONNRESET},
	} {
		t.Run(c.name, func(t *testing.T) {
			port := service(t, func(s *net.TCPConn) { _, _ = s.Read(make([]byte, 1)); c.do(s) })
			x := newTask(t, rule.Set{Allow: rules(t, "a.example.com", here)}, map[string][]string{"a.example.com": {"a.example.com. 9 IN A 127.0.0.1"}})
			conn, err := x.dial(x.to("a.example.com", port))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := conn.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(conn); !errors.Is(err, c.want) {
				t.Errorf("%v, expected %v", err, c.want)
			}
			if c.name == "half closed" {
				if _, err := conn.Write([]byte("more")); err != nil {
					t.Errorf("writing after the server has ended its direction: %v", err)
				}
			}
		})
	}
	// The other way round.
	for _, how := range []string{"reset", "closed"} {
		ended := make(chan error, 1)
		port := service(t, func(s *net.TCPConn) { _, err := io.ReadAll(s); ended <- err; s.Close() })
		x := newTask(t, rule.Set{Allow: rules(t, "a.example.com", here)}, map[string][]string{"a.example.com": {"a.example.com. 9 IN A 127.0.0.1"}})
		conn, err := x.dial(x.to("a.example.com", port))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		if how == "reset" {
			_ = conn.SetLinger(0)
		}
		conn.Close()
		select {
		case err := <-ended:
			if (how == "reset") != errors.Is(err, unix.ECONNRESET) {
				t.Errorf("the client has %s the connection: %v", how, err)
			}
		case <-time.After(5 * time.Second):
			t.Errorf("the client has %s the connection, and the server does not see it", how)
		}
	}
}

// A reader that does not read stops the writer.
func TestBackPressure(t *testing.T) {
	port := service(t, func(s *net.TCPConn) { time.Sleep(3 * time.Second); s.Close() })
	x := newTask(t, rule.Set{Allow: rules(t, "a.example.com", here)}, map[string][]string{"a.example.com": {"a.example.com. 9 IN A 127.0.0.1"}})
	conn, err := x.dial(x.to("a.example.com", port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(conn, &endless{})
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() || n > 64<<20 {
		t.Errorf("%d bytes were taken (%v), expected that the writer has to wait", n, err)
	}
}

type endless struct{}

func (*endless) Read(p []byte) (int, error) { return len(p), nil }

func FuzzNameServer(f *testing.F) {
	for _, m := range []*dns.Msg{
		new(dns.Msg).SetQuestion("a.example.com.", dns.TypeA),
		new(dns.Msg).SetQuestion("b.example.org.", dns.TypeAAAA),
		new(dns.Msg).SetQuestion("evil.com.", dns.TypeTXT),
		new(dns.Msg).SetEdns0(4096, true),
	} {
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01")) // a name that points at itself
	set := rule.Set{Allow: rules(f, "a.example.com", "*.example.org"), Deny: rules(f, "evil.example.org")}
	f.Fuzz(func(t *testing.T, packet []byte) {
		p := &Plan{Rules: set, Synthetic4: range4, Synthetic6: range6}
		s := &nameServer{rules: &p.Rules, table: newTable(p, 16), ipv6: true, report: func(Event) {}}
		answer := s.answer(packet)
		if answer == nil {
			return
		}
		var m dns.Msg
		if err := m.Unpack(answer); err != nil {
			t.Fatalf("%q is answered with what is no message: %v", packet, err)
		}
		if !m.Response || len(m.Answer) > 1 {
			t.Fatalf("%q is answered with %v", packet, &m)
		}
		for _, rr := range m.Answer {
			name := strings.TrimSuffix(strings.ToLower(rr.Header().Name), ".")
			if name != "a.example.com" && !strings.HasSuffix(name, ".example.org") || name == "evil.example.org" {
				t.Fatalf("%q is answered with %v", packet, &m)
			}
		}
	})
}

func FuzzAnswer(f *testing.F) {
	m := new(dns.Msg).SetQuestion("a.example.com.", dns.TypeA)
	m.Response, m.Id = true, 7
	for _, text := range []string{"a.example.com. 5 IN CNAME b.example.com.", "b.example.com. 5 IN CNAME a.example.com.", "b.example.com. 5 IN A 1.2.3.4"} {
		rr, err := dns.NewRR(text)
		if err != nil {
			f.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	q := question("a.example.com.")
	f.Fuzz(func(t *testing.T, packet []byte) {
		found, _, err := read(packet, 7, q)
		if err != nil {
			return
		}
		for _, alias := range found.aliases {
			if name, ok := rule.Name(alias); !ok || name != alias {
				t.Fatalf("alias %q", alias)
			}
		}
		if len(found.aliases) > mostAliases || len(found.addresses) > mostAddresses+mostAliases {
			t.Fatalf("%+v", found)
		}
	})
}

// An address of the node itself, which may be one of the public internet.
func TestOwnAddressesAreRefused(t *testing.T) {
	x := newTask(t, rule.Set{Allow: rules(t, "a.example.com")}, map[string][]string{"a.example.com": {"a.example.com. 0 IN A 9.9.9.77"}})
	if out, err := exec.Command("ip", "address", "add", "9.9.9.77/32", "dev", "lo").CombinedOutput(); err != nil {
		t.Skipf("%v: %s", err, out)
	}
	defer func() { _ = exec.Command("ip", "address", "del", "9.9.9.77/32", "dev", "lo").Run() }()
	conn, err := x.dial(x.to("a.example.com", 80))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("%v, expected %v", err, unix.ECONNRESET)
	}
	if !x.reported(func(e Event) bool { return strings.Contains(e.Reason, "address of this node") }) {
		t.Errorf("not reported: %+v", x.events)
	}
}
