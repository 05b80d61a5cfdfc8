// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package forward

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/egress/rule"
)

// forwarder takes a task's connections and makes those that the rules admit.
type forwarder struct {
	plan     *Plan
	table    *table
	resolver *resolver
	report   func(Event)
	log      func(Event) // nil if connections are not to be logged
	slots    chan struct{}
}

func newForwarder(p *Plan, report, log func(Event)) *forwarder {
	f := &forwarder{
		plan: p, table: newTable(p, mostNames), resolver: newResolver(p.Resolver),
		report: report, log: log, slots: make(chan struct{}, mostConnections),
	}
	// After the forwarder was started anew, what was asked for before is known again, as
	// far as rules have whole names.
	for _, name := range p.Rules.Names() {
		if p.Rules.Lookup(name).Admitted {
			f.table.pin(name)
		}
	}
	return f
}

// serve takes connections until the listener is closed; made says where one goes.
func (f *forwarder) serve(listener *net.TCPListener, made func(netip.AddrPort) (*target, error)) error {
	for {
		f.slots <- struct{}{}
		conn, err := accept(listener)
		if err != nil {
			return err
		}
		go func() {
			defer func() { <-f.slots }()
			f.handle(conn, made)
		}()
	}
}

// accept takes a connection, and waits where there are no descriptors left.
func accept(listener *net.TCPListener) (*net.TCPConn, error) {
	for {
		conn, err := listener.AcceptTCP()
		if err == nil || errors.Is(err, net.ErrClosed) {
			return conn, err
		}
		if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM) {
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// target is where a connection goes.
type target struct {
	Event     // what is known of it, to be reported
	addresses []netip.Addr
	release   func()
}

// refusal says that the rules do not admit a connection. Other errors say that it could
// not be made.
type refusal struct{ reason string }

func (r *refusal) Error() string { return r.reason }

// handle makes one connection, and serves it until its end.
func (f *forwarder) handle(client *net.TCPConn, made func(netip.AddrPort) (*target, error)) {
	began := time.Now()
	at := client.LocalAddr().(*net.TCPAddr).AddrPort()
	to, err := made(netip.AddrPortFrom(at.Addr().Unmap(), at.Port()))
	var server *net.TCPConn
	if err == nil {
		server, err = dial(to.addresses, to.Port)
	}
	if to.release != nil {
		defer to.release()
	}
	if err != nil {
		// Whatever the reason: for the task it is a connection that was reset.
		reset(client)
		to.Reason = err.Error()
		to.Failed = !errors.As(err, new(*refusal))
		f.report(to.Event)
		return
	}
	if f.log != nil {
		// Also of one that has no end of its own: the forwarder ends with the task.
		to.Address, to.Connected, to.Open = server.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap().String(), true, true
		f.log(to.Event)
	}
	to.Sent, to.Received = relay(client, server)
	if f.log != nil {
		to.Duration, to.Open = time.Since(began), false
		f.log(to.Event)
	}
}

// lookupTimeout is how long the servers of resolv.conf may take, all in all.
const lookupTimeout = 30 * time.Second

// outward says where a connection goes that was made to an address of the task's
// namespace. The target has what is known of it, whatever the error.
func (f *forwarder) outward(at netip.AddrPort) (*target, error) {
	to := &target{Event: Event{Port: at.Port()}}
	// The kernel's own limit leaves the task the port of its name server.
	if f.plan.Ports != nil && !slices.Contains(f.plan.Ports, at.Port()) {
		to.Address = at.Addr().String()
		return to, &refusal{fmt.Sprintf("tcp_connect does not list port %d", at.Port())}
	}
	if !f.table.synthetic(at.Addr()) {
		to.Address = at.Addr().String()
		if v := f.decide(f.plan.Rules.Direct, at); !v.Admitted {
			return to, &refusal{v.Reason}
		}
		to.addresses = []netip.Addr{at.Addr()}
		return to, nil
	}
	name, release, ok := f.table.open(at.Addr())
	if !ok {
		to.Address = at.Addr().String()
		return to, &refusal{"no name has this address any more: look the name up again"}
	}
	to.Name, to.release = name, release
	if v := f.plan.Rules.Host(name, at.Port()); !v.Admitted {
		return to, &refusal{v.Reason}
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	found, err := f.resolver.lookUp(ctx, name)
	if err != nil {
		return to, fmt.Errorf("looking it up: %w", err)
	}
	for _, alias := range found.aliases {
		if v := f.plan.Rules.Alias(alias, at.Port()); !v.Admitted {
			return to, &refusal{fmt.Sprintf("it is an alias of %s: %s", alias, v.Reason)}
		}
	}
	return to, f.check(to, found.addresses)
}

// check keeps those of a name's addresses that a connection may be made to.
func (f *forwarder) check(to *target, addresses []netip.Addr) error {
	var refused error
	for _, address := range addresses {
		if v := f.decide(f.plan.Rules.Address, netip.AddrPortFrom(address, to.Port)); !v.Admitted {
			refused = &refusal{"it resolves to an address that is not admitted: " + v.Reason}
			to.Address = address.String()
			continue
		}
		to.addresses = append(to.addresses, address)
	}
	if len(to.addresses) > 0 {
		return nil
	}
	return refused
}

// decide decides about an address. Whether it is one of this machine's is found out only
// where that matters: no rule names it.
func (f *forwarder) decide(by func(netip.Addr, uint16, bool) rule.Verdict, at netip.AddrPort) rule.Verdict {
	v := by(at.Addr(), at.Port(), false)
	if !v.Admitted || v.Rule != nil || f.plan.Rules.Private || !isOwn(at.Addr()) {
		return v
	}
	return by(at.Addr(), at.Port(), true)
}
