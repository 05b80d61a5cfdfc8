// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package attack

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/miekg/dns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/driver"
	"github.com/burin-labs/nomad-driver-harn/egress"
	"github.com/burin-labs/nomad-driver-harn/internal/nettest"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// egressAttacks are those of scripts/egress.py, and what each is. Those with a witness
// have got through if the node has seen something, whatever the attack says.
var egressAttacks = []struct{ name, about, witness string }{
	{"egress_address", "Connects to an address that no rule names.", ""},
	{"egress_address_v6", "The same by IPv6.", ""},
	{"egress_address_mapped", "The same, of IPv4 written as IPv6.", ""},
	{"egress_address_zone", "Connects to a link-local address with a zone.", ""},
	{"egress_host_loopback", "Connects to a service on the host's loopback.", ""},
	{"egress_metadata", "Connects to the address of metadata services.", ""},
	{"egress_name", "Connects to a name that no rule admits.", ""},
	{"egress_name_denied", "Connects to a name that a rule admits and another one denies.", ""},
	{"egress_name_alias_of_denied", "Connects to an admitted name that is an alias of a denied one.", ""},
	{"egress_name_alias_of_private", "Connects to an admitted name that is an alias of one with a private address.", ""},
	{"egress_name_loopback", "Connects to an admitted name that resolves to 127.0.0.1.", ""},
	{"egress_name_metadata", "Connects to an admitted name that resolves to 169.254.169.254.", ""},
	{"egress_name_zero", "Connects to an admitted name that resolves to 0.0.0.0.", ""},
	{"egress_name_private", "Connects to an admitted name that resolves to 10.0.0.9.", ""},
	{"egress_name_mapped", "Connects to an admitted name that resolves to ::ffff:10.0.0.9.", ""},
	{"egress_name_of_node", "Connects to an admitted name that resolves to a public address of the node.", ""},
	{"egress_port", "Connects to an admitted name on a port that is not.", ""},
	{"egress_rebinding", "Connects to an admitted name that resolves to 127.0.0.1 every other time.", ""},
	{"egress_resolver_udp", "Asks another name server, by UDP.", ""},
	{"egress_resolver_tcp", "Asks another name server, by TCP.", ""},
	{"egress_tunnel", "Tells who owns a domain something, by asking for a name in it.", "secret.tunnel.example"},
	{"egress_tunnel_txt", "The same by a question for TXT.", "secret-txt.tunnel.example"},
	{"egress_tunnel_tcp", "The same by TCP.", "secret-tcp.tunnel.example"},
	{"egress_tunnel_dot", "The same in capitals, with a final dot.", "Secret.Tunnel.Example"},
	{"egress_tunnel_long", "The same by a name of 200 octets.", strings.Repeat("a", 63) + ".tunnel.example"},
	{"egress_tunnel_null", "The same by a name with a null byte.", `a\000b.tunnel.example`},
	{"egress_tunnel_idn", "The same by a name in other letters.", "xn--bcher-kva.tunnel.example"},
	{"egress_udp", "Sends a datagram to an address that no rule names.", "udp"},
	{"egress_udp_synthetic", "Sends a datagram to the address of an admitted name.", "udp"},
	{"egress_fast_open", "Connects by TCP Fast Open.", ""},
	{"egress_mptcp", "Connects by Multipath TCP.", ""},
	{"egress_forwarder_ports", "Connects to the forwarder's own ports.", "none"},
	{"egress_forwarder_kill", "Kills the forwarder, and all else of another user.", "none"},
	{"egress_unix_sockets", "Connects to UNIX sockets of the node's network namespace.", "none"},
	{"egress_new_namespace", "Makes a network namespace of its own, and looks for a way out there.", "none"},
	{"egress_flood", "Exhausts its forwarder: another task notices.", "none"},
}

// outside is the network that these tests' node is in.
type outside struct {
	mutex sync.Mutex
	seen  []string // names that were asked for, and "udp"
	turn  int
	ports [2]int // of the services
	udp   int
}

// addresses are all the node's own: a public one is of no use for what has to be
// admitted, but by a rule.
var outsideAddresses = []string{"203.0.113.9/32", "2001:db8::9/128", "169.254.169.254/32", "10.0.0.9/32", "9.9.9.9/32", "8.8.4.4/32", "fe80::9/64"}

var outsideZone = map[string]string{
	"admitted.example.": "A 9.9.9.9", "other.example.": "A 203.0.113.9", "denied.admitted.example.": "A 9.9.9.9",
	"alias.admitted.example.": "CNAME denied.admitted.example.", "inside.admitted.example.": "CNAME private.admitted.example.",
	"loopback.admitted.example.": "A 127.0.0.1", "metadata.admitted.example.": "A 169.254.169.254", "zero.admitted.example.": "A 0.0.0.0",
	"private.admitted.example.": "A 10.0.0.9", "mapped.admitted.example.": "AAAA ::ffff:10.0.0.9", "node.admitted.example.": "A 8.8.4.4",
}

func newOutside(t *testing.T) *outside {
	t.Helper()
	lo, err := netlink.LinkByName("lo")
	check(t, err)
	for _, text := range outsideAddresses {
		address, err := netlink.ParseAddr(text)
		check(t, err)
		address.Flags = unix.IFA_F_NODAD
		check(t, netlink.AddrAdd(lo, address))
		t.Cleanup(func() { _ = netlink.AddrDel(lo, address) })
	}
	o := &outside{}
	for i := range o.ports {
		l, err := net.Listen("tcp", "[::]:0")
		check(t, err)
		t.Cleanup(func() { l.Close() })
		o.ports[i] = l.Addr().(*net.TCPAddr).Port
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				fmt.Fprintln(c, c.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap())
				c.Close()
			}
		}()
	}
	datagrams, err := net.ListenPacket("udp", "0.0.0.0:0")
	check(t, err)
	t.Cleanup(func() { datagrams.Close() })
	o.udp = datagrams.LocalAddr().(*net.UDPAddr).Port
	go func() {
		for {
			if _, _, err := datagrams.ReadFrom(make([]byte, 100)); err != nil {
				return
			}
			o.see("udp")
		}
	}()
	for _, network := range []string{"udp", "tcp"} {
		s := &dns.Server{Net: network, Addr: "203.0.113.9:53", Handler: dns.HandlerFunc(o.answer)}
		go func() { _ = s.ListenAndServe() }()
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	nettest.File(t, "/etc/resolv.conf", "nameserver 203.0.113.9\n")
	nettest.File(t, "/etc/hosts", "127.0.0.1 localhost\n")
	return o
}

func (o *outside) see(what string) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.seen = append(o.seen, what)
}

// saw reports whether something was seen since the last time, and forgets it.
func (o *outside) saw(what string) bool {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	found := slices.ContainsFunc(o.seen, func(s string) bool { return strings.HasSuffix(s, what) })
	o.seen = slices.DeleteFunc(o.seen, func(s string) bool { return strings.HasSuffix(s, what) })
	return found
}

func (o *outside) answer(w dns.ResponseWriter, q *dns.Msg) {
	name := q.Question[0].Name
	o.see(strings.TrimSuffix(name, "."))
	m := new(dns.Msg).SetReply(q)
	text, ok := outsideZone[strings.ToLower(name)]
	if name == "rebinding.admitted.example." {
		o.mutex.Lock()
		if q.Question[0].Qtype == dns.TypeA {
			o.turn++
		}
		text, ok = []string{"A 9.9.9.9", "A 127.0.0.1"}[o.turn%2], true
		o.mutex.Unlock()
	}
	if !ok {
		m.Rcode = dns.RcodeNameError
	}
	for name := name; text != ""; text = outsideZone[name] {
		rr, err := dns.NewRR(name + " 0 IN " + text)
		if err != nil {
			break
		}
		alias, isAlias := rr.(*dns.CNAME)
		if isAlias || rr.Header().Rrtype == q.Question[0].Qtype {
			m.Answer = append(m.Answer, rr)
		}
		if !isAlias {
			break
		}
		name = alias.Target
	}
	_ = w.WriteMsg(m)
}

// egressTask is a task with egress that runs the script.
func (n *nomad) egressTask(p *programs, o *outside, profile *profile, names ...string) *drivers.TaskConfig {
	made := profile.policy([]string{"local"}, []string{p.dir})
	made.Egress = &policy.Egress{
		Allow: []string{fmt.Sprintf("admitted.example:%d", o.ports[0]), fmt.Sprintf("*.admitted.example:%d", o.ports[0]), fmt.Sprintf("9.9.9.9:%d", o.ports[0])},
		Deny:  []string{"denied.admitted.example"},
	}
	return n.task(profile.user, driver.TaskConfig{Command: "/usr/bin/python3", Args: o.script(p, names), Policy: made, Ulimit: map[string]string{"nofile": "4096"}}, true)
}

func (o *outside) script(p *programs, names []string) []string {
	return append([]string{p.dir + "/egress.py", strconv.Itoa(o.ports[0]), strconv.Itoa(o.ports[1]), "53", strconv.Itoa(o.udp)}, names...)
}

// egressRows plays the attacks on egress, each as a task and, for a control, without.
func egressRows(t *testing.T, n *nomad, p *programs, table *table) {
	if err := egress.Works(); err != nil {
		t.Skip(err)
	}
	o := newOutside(t)
	for i := range egressAttacks {
		a := &egressAttacks[i]
		if !strings.Contains(a.name, os.Getenv("ATTACK_RUN")) {
			continue
		}
		control := succeeded
		if a.witness != "none" {
			out, _ := exec.Command("/usr/bin/python3", o.script(p, []string{a.name})...).Output()
			control = o.verdict(a.name, a.witness, string(out))
		}
		for i := range profiles {
			profile := &profiles[i]
			if !profile.network || profile.hardened && n.abi == 0 {
				continue
			}
			table.set(a.name, a.about, profile.Name, n.playEgress(t, p, o, profile, a.name, a.witness, control))
		}
	}
}

// verdict is OK if an attack has got through, by what it has said or the node has seen.
func (o *outside) verdict(name, witness, said string) string {
	answer := "it has said nothing"
	for line := range strings.Lines(said) {
		if text, ok := strings.CutPrefix(line, name+" "); ok {
			answer = strings.TrimSpace(text)
		}
	}
	if witness == "" || witness == "none" {
		return answer
	}
	time.Sleep(20 * time.Millisecond)
	if o.saw(witness) {
		return succeeded
	}
	if answer == succeeded {
		answer = "nobody has seen it"
	}
	return answer
}

func (n *nomad) playEgress(t *testing.T, p *programs, o *outside, profile *profile, name, witness, control string) Cell {
	o.saw("")
	cfg := n.egressTask(p, o, profile, name)
	if err := n.start(cfg); err != nil {
		return Cell{Broken, "no start", err.Error()}
	}
	defer func() { _ = n.DestroyTask(cfg.ID, true) }()
	log := filepath.Join(cfg.TaskDir().LogDir, cfg.Name+".stdout.0")
	said := func(text string) bool {
		for range 1500 {
			if now, _ := os.ReadFile(log); bytes.Contains(now, []byte(text)) && bytes.HasSuffix(now, []byte("\n")) {
				return true
			}
			time.Sleep(20 * time.Millisecond)
		}
		return false
	}
	if name == "egress_flood" {
		// Another task, while this one floods.
		if !said("flooding") {
			return Cell{Broken, "", "it does not flood"}
		}
		other := n.egressTask(p, o, profile)
		began := time.Now()
		if err := n.start(other); err != nil {
			return Cell{Escaped, "no start", err.Error()}
		}
		exit, err := n.wait(t, other.ID, time.Minute)
		var out []byte
		for range 100 { // until it is in the log
			if out, _ = os.ReadFile(filepath.Join(other.TaskDir().LogDir, other.Name+".stdout.0")); bytes.HasSuffix(out, []byte("\n")) {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if err != nil || !exit.Successful() || string(out) != "sibling 9.9.9.9\n" || time.Since(began) > 20*time.Second {
			return Cell{Escaped, string(out), fmt.Sprintf("another task has noticed: %+v %v after %v", exit, err, time.Since(began))}
		}
		return Cell{Refused, "unnoticed", ""}
	}
	if !said("sibling") {
		out, _ := os.ReadFile(log)
		return Cell{Broken, "", fmt.Sprintf("the task has said %q", out)}
	}
	out, _ := os.ReadFile(log)
	answer := o.verdict(name, witness, string(out))
	switch {
	case answer == succeeded:
		return Cell{Escaped, "", "it got through"}
	case !strings.Contains(string(out), "sibling 9.9.9.9\n"):
		return Cell{Broken, "", fmt.Sprintf("its sibling, an admitted name: %q", out)}
	case control != succeeded:
		return Cell{NotApplicable, answer, "its control fails: " + control}
	}
	return Cell{Refused, answer, ""}
}
