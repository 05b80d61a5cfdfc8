// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package egress

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/egress/forward"
	"github.com/burin-labs/nomad-driver-harn/egress/netns"
	"github.com/burin-labs/nomad-driver-harn/egress/rule"
	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

// Config says what a task's network is to have.
type Config struct {
	Rules rule.Set
	// Ports, if not nil, are all that the task may connect to.
	Ports []uint16
	// Published are addresses and ports of the node's that are forwarded to the same
	// ones in the task's namespace.
	Published []netip.AddrPort
	Resolver  forward.Resolver
	// Follow, if not nil, is a file that says the same and changes with the node: see
	// [forward.EncodeResolver].
	Follow *os.File
	// Reports takes events, as lines of JSON. Connections, if not nil, takes those of
	// connections that were made.
	Reports, Connections *os.File
	// ABI is Landlock's.
	ABI landlock.ABI
}

// Network is a task's network, until the task is started.
type Network struct {
	space *netns.Space
	files []*os.File // to be closed, too
	out   executor.Companion
	in    *executor.Companion
}

// Open makes a task's network. The files of the configuration can be closed then.
func Open(c *Config) (*Network, error) {
	n := &Network{}
	if err := n.open(c); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// Close closes what the task's supervisor has by now, or is not to have.
func (n *Network) Close() {
	if n.space != nil {
		n.space.Close()
	}
	for _, f := range n.files {
		f.Close()
	}
}

// Join has a plan's task started in the network.
func (n *Network) Join(plan *executor.Plan) {
	plan.Isolation.Network = executor.Network{Namespace: "of the task's egress", File: n.space.Namespace}
	plan.Held = append(plan.Held, n.space.Lookup)
	plan.Companions = append(plan.Companions, n.out)
	if n.in != nil {
		plan.Companions = append(plan.Companions, *n.in)
	}
}

// keep duplicates a file, which is closed with the network.
func (n *Network) keep(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("duplicating %s: %w", f.Name(), err)
	}
	kept := os.NewFile(uintptr(fd), f.Name())
	n.files = append(n.files, kept)
	return kept, nil
}

func (n *Network) open(c *Config) (err error) {
	reports, err := n.keep(c.Reports)
	if err != nil {
		return err
	}
	log := reports // a descriptor must be there; nothing is written to it
	if c.Connections != nil {
		if log, err = n.keep(c.Connections); err != nil {
			return err
		}
	}
	own := addressesOf(c.Published)
	others := func(p netip.Prefix) bool { return p.IsSingleIP() && slices.Contains(own, p.Addr()) }
	addresses := slices.DeleteFunc(c.Rules.AddressRules(), others)
	if c.Rules.Others {
		addresses = append(addresses, netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0"))
	}
	if n.space, err = spaces.open(netns.Config{Addresses: addresses, Own: own}); err != nil {
		return err
	}
	key := make([]byte, 16)
	_, _ = rand.Read(key)
	filters, err := compiled()
	if err != nil {
		return err
	}
	plan, err := n.plan("egress plan", &forward.Plan{
		Rules: c.Rules, Ports: c.Ports, IPv6: n.space.IPv6, Synthetic4: netns.Range4, Synthetic6: netns.Range6, Key: key,
		Resolver: c.Resolver.For(&c.Rules), FollowsNode: c.Follow != nil, LogConnections: c.Connections != nil, Filter: filters.inner,
	})
	if err != nil {
		return err
	}
	files := []*os.File{plan, reports, log, n.space.DNSPackets, n.space.DNSStreams, n.space.TCP}
	if c.Follow != nil {
		followed, err := n.keep(c.Follow)
		if err != nil {
			return err
		}
		files = append(files, followed)
	}
	n.out = companion(c.ABI, filters, connectPorts(c), files...)
	if len(c.Published) == 0 {
		return nil
	}
	return n.openInward(c, reports, filters)
}

// openInward makes the sockets of published ports, in the node's network namespace.
func (n *Network) openInward(c *Config, reports *os.File, filters *filters) error {
	p := &forward.Plan{Filter: filters.inner}
	var sockets []*os.File
	var ports []uint16
	for i, at := range c.Published {
		socket, err := listenOn(at)
		if err != nil {
			return fmt.Errorf("published port %v: %w", at, err)
		}
		n.files, sockets, ports = append(n.files, socket), append(sockets, socket), append(ports, at.Port())
		to := at
		if at.Addr().IsUnspecified() || at.Addr().IsLoopback() {
			to = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), at.Port())
		}
		p.Inward = append(p.Inward, forward.Inward{Socket: forward.FirstInwardFD + i, To: to})
	}
	plan, err := n.plan("egress plan of published ports", p)
	if err != nil {
		return err
	}
	in := companion(c.ABI, filters, ports, append([]*os.File{plan, reports, reports}, sockets...)...)
	in.Inside = true
	n.in = &in
	return nil
}

// addressesOf are the addresses at which the task's own services are published.
func addressesOf(ports []netip.AddrPort) (own []netip.Addr) {
	for _, p := range ports {
		if a := p.Addr(); !a.IsUnspecified() && !a.IsLoopback() && !slices.Contains(own, a) {
			own = append(own, a)
		}
	}
	return own
}

func listenOn(at netip.AddrPort) (*os.File, error) {
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return l.File()
}

// plan makes a file of a plan, in memory and sealed.
func (n *Network) plan(name string, p *forward.Plan) (*os.File, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("memfd_create(2): %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	n.files = append(n.files, f)
	if _, err := f.Write(text); err != nil {
		return nil, err
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return nil, fmt.Errorf("sealing the %s: %w", name, err)
	}
	return f, nil
}

// filters are those of a forwarder: from its birth on, and once it has begun.
type filters struct{ outer, inner []byte }

// compiled compiles them, once.
var compiled = sync.OnceValues(func() (*filters, error) {
	outer, err := compile(forward.StartFilter())
	if err != nil {
		return nil, err
	}
	inner, err := compile(forward.Filter())
	return &filters{outer, inner}, err
})

func compile(filter *seccomp.Filter) ([]byte, error) {
	arch, err := seccomp.Native()
	if err != nil {
		return nil, err
	}
	program, err := seccomp.Compile(arch, filter)
	if err != nil {
		return nil, err
	}
	return program.MarshalBinary()
}

// openFiles is how many files a forwarder has: two sockets for each connection, and as
// many pipes as have something on their way.
const openFiles = 16384

func companion(abi landlock.ABI, filters *filters, ports []uint16, files ...*os.File) executor.Companion {
	return executor.Companion{
		Name: forward.Name, Env: forward.Environment, Files: files,
		Ruleset: confine(abi, ports), Filter: filters.outer, OpenFiles: openFiles,
	}
}

// connectPorts are all that a forwarder connects to, nil for any.
func connectPorts(c *Config) []uint16 {
	ports := []uint16{}
	for _, r := range c.Rules.Allow {
		if r.Port == 0 {
			return nil
		}
		ports = append(ports, r.Port)
	}
	if c.Rules.Others {
		return nil
	}
	for _, server := range c.Resolver.Servers {
		ports = append(ports, server.Port())
	}
	if c.Follow != nil {
		ports = append(ports, dnsPort)
	}
	return ports
}

// confine makes the rules of a forwarder: no files, no port to offer a service on, no
// other port of TCP to connect to, and no process to signal.
func confine(abi landlock.ABI, ports []uint16) *landlock.Ruleset {
	rights := abi.Rights()
	if rights.FS == 0 {
		return nil
	}
	r := &landlock.Ruleset{HandledFS: rights.FS, HandledNet: rights.Net & landlock.BindTCP, Scoped: rights.Scope, Paths: []landlock.PathRule{}}
	if ports != nil && rights.Net&landlock.ConnectTCP != 0 {
		r.HandledNet |= landlock.ConnectTCP
		slices.Sort(ports)
		for _, port := range slices.Compact(ports) {
			r.Ports = append(r.Ports, landlock.PortRule{Port: port, Access: landlock.ConnectTCP})
		}
	}
	return r
}
