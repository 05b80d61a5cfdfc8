// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package forward

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/burin-labs/nomad-driver-harn/egress/rule"
)

// found is what a name was resolved to.
type found struct {
	addresses []netip.Addr
	// aliases are the names that lead to the addresses, the asked one left out.
	aliases []string
	ttl     time.Duration
}

// errNoName says that there is no such name, or that it has no addresses.
var errNoName = errors.New("the name does not exist")

// resolver looks names up on the node's side. It remembers a few for a short time.
type resolver struct {
	mutex   sync.Mutex // for all of these
	current Resolver
	follows *follower // nil: it stays as it is
	cache   map[string]remembered
	asking  chan struct{} // as many as are asked for
}

type remembered struct {
	found
	err   error // of a lookup that has failed
	until time.Time
}

// mostAsked is how many names are asked for at the same time: the node's servers are those
// of others, too.
const mostAsked = 32

// failedFor is how long it is remembered that a name could not be looked up.
const failedFor = 2 * time.Second

// longest is the longest time that an answer is remembered for.
const longest = 30 * time.Second

func newResolver(r Resolver) *resolver {
	return &resolver{current: r, cache: map[string]remembered{}, asking: make(chan struct{}, mostAsked)}
}

// follow has names looked up as a file says from now on, whenever it changes.
func (r *resolver) follow(file *os.File, rules *rule.Set) {
	r.follows = &follower{file: file, rules: rules}
}

// now returns how names are looked up, and what is remembered of a name.
func (r *resolver) now(name string) (Resolver, remembered, bool) {
	now := time.Now()
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.follows != nil {
		if changed, ok := r.follows.changed(now); ok {
			r.current = changed
			clear(r.cache) // other servers may know better
		}
	}
	known, ok := r.cache[name]
	return r.current, known, ok && now.Before(known.until)
}

// lookUp returns the addresses of a name, all of them unchecked.
func (r *resolver) lookUp(ctx context.Context, name string) (found, error) {
	node, known, ok := r.now(name)
	if addresses := node.Hosts[name]; len(addresses) > 0 {
		return found{addresses: addresses}, nil
	}
	if ok {
		return known.found, known.err
	}
	select {
	case r.asking <- struct{}{}:
		defer func() { <-r.asking }()
	case <-ctx.Done():
		return found{}, fmt.Errorf("%d other names are being looked up: %w", mostAsked, ctx.Err())
	}
	// Somebody else may have asked meanwhile.
	if node, known, ok = r.now(name); ok {
		return known.found, known.err
	}
	f, err := node.ask(ctx, name)
	lasts := min(f.ttl, longest)
	if err != nil {
		lasts = failedFor
	}
	if lasts <= 0 {
		return f, nil
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if len(r.cache) >= mostCached {
		clear(r.cache)
	}
	r.cache[name] = remembered{f, err, time.Now().Add(lasts)}
	return f, err
}

// ask asks the servers in their order, each as often as resolv.conf(5) says.
func (r *Resolver) ask(ctx context.Context, name string) (f found, err error) {
	if len(r.Servers) == 0 {
		return f, errors.New("the node has no name server, and its hosts file has no such name")
	}
	for range max(r.Attempts, 1) {
		for _, server := range r.Servers {
			var again error
			if f, again = r.askServer(ctx, server, name); again == nil || errors.Is(again, errNoName) || ctx.Err() != nil {
				return f, again
			}
			err = fmt.Errorf("name server %v: %w", server, again)
		}
	}
	return f, err
}

// askServer asks one server for the addresses of IPv4 and IPv6, at once.
func (r *Resolver) askServer(ctx context.Context, server netip.AddrPort, name string) (found, error) {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	type answer struct {
		found
		err error
	}
	six := make(chan answer, 1)
	go func() {
		f, err := exchange(ctx, server, name, dnsmessage.TypeAAAA)
		six <- answer{f, err}
	}()
	four, err := exchange(ctx, server, name, dnsmessage.TypeA)
	if err != nil && !errors.Is(err, errNoName) {
		return found{}, err
	}
	other := <-six
	if other.err != nil && len(four.addresses) == 0 {
		return found{}, other.err
	}
	if other.err == nil {
		four.addresses = append(four.addresses, other.addresses...)
		four.aliases = append(four.aliases, other.aliases...)
		if err != nil || other.ttl < four.ttl {
			four.ttl = other.ttl
		}
	}
	if len(four.addresses) == 0 {
		return found{}, errNoName
	}
	return four, nil
}

// exchange asks one question, by UDP, and by TCP if the answer is too long for that.
func exchange(ctx context.Context, server netip.AddrPort, name string, kind dnsmessage.Type) (found, error) {
	q, err := dnsmessage.NewName(name + ".")
	if err != nil {
		return found{}, err
	}
	id := uint16(rand.Uint32())
	question := dnsmessage.Question{Name: q, Type: kind, Class: dnsmessage.ClassINET}
	packet, err := build(dnsmessage.Header{ID: id, RecursionDesired: true}, &question, nil, true)
	if err != nil {
		return found{}, err
	}
	f, truncated, err := askBy(ctx, "udp", server, packet, id, question)
	if err == nil && truncated {
		f, _, err = askBy(ctx, "tcp", server, packet, id, question)
	}
	return f, err
}

// askBy sends a question and waits for its answer. What is none is passed over.
func askBy(ctx context.Context, network string, server netip.AddrPort, packet []byte, id uint16, q dnsmessage.Question) (f found, truncated bool, err error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, server.String())
	if err != nil {
		return f, false, err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return f, false, err
		}
	}
	stream := network == "tcp"
	if stream {
		packet = streamed(packet)
	}
	if _, err := conn.Write(packet); err != nil {
		return f, false, err
	}
	answer := make([]byte, mostOfPacket)
	for {
		var n int
		if stream {
			answer, err = readStream(conn, math.MaxUint16)
			n = len(answer)
		} else {
			n, err = conn.Read(answer)
		}
		if err != nil {
			return f, false, err
		}
		f, truncated, err = read(answer[:n], id, q)
		if !errors.Is(err, errOther) || stream {
			return f, truncated, err
		}
	}
}

// errOther says that a packet is no answer to the question.
var errOther = errors.New("it is no answer to the question")

// The most that is taken of an answer.
const (
	mostAddresses = 32
	mostAliases   = 16
)

// read reads an answer: the addresses at the end of the chain of names that begins with
// the one that was asked for.
func read(packet []byte, id uint16, q dnsmessage.Question) (f found, truncated bool, err error) {
	var p dnsmessage.Parser
	header, err := p.Start(packet)
	if err != nil || !header.Response || header.ID != id {
		return f, false, errOther
	}
	asked, err := p.Question()
	if err != nil || asked.Type != q.Type || asked.Class != q.Class || !strings.EqualFold(asked.Name.String(), q.Name.String()) {
		return f, false, errOther
	}
	if header.Truncated {
		return f, true, nil
	}
	switch header.RCode {
	case dnsmessage.RCodeSuccess:
	case dnsmessage.RCodeNameError:
		return f, false, errNoName
	default:
		return f, false, fmt.Errorf("it answers %v", header.RCode)
	}
	if err := p.SkipAllQuestions(); err != nil {
		return f, false, err
	}
	return readChain(&p, q)
}

func readChain(p *dnsmessage.Parser, q dnsmessage.Question) (f found, truncated bool, err error) {
	type record struct {
		address netip.Addr
		target  string
	}
	records := map[string][]record{}
	f.ttl = longest
	for range mostAddresses + mostAliases {
		h, err := p.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			break
		}
		if err != nil {
			return found{}, false, err
		}
		var r record
		switch {
		case h.Class == dnsmessage.ClassINET && h.Type == q.Type && h.Type == dnsmessage.TypeA:
			a, err := p.AResource()
			if err != nil {
				return found{}, false, err
			}
			r.address = netip.AddrFrom4(a.A)
		case h.Class == dnsmessage.ClassINET && h.Type == q.Type && h.Type == dnsmessage.TypeAAAA:
			a, err := p.AAAAResource()
			if err != nil {
				return found{}, false, err
			}
			r.address = netip.AddrFrom16(a.AAAA).Unmap()
		case h.Class == dnsmessage.ClassINET && h.Type == dnsmessage.TypeCNAME:
			c, err := p.CNAMEResource()
			if err != nil {
				return found{}, false, err
			}
			r.target = strings.ToLower(c.CNAME.String())
		default:
			if err := p.SkipAnswer(); err != nil {
				return found{}, false, err
			}
			continue
		}
		f.ttl = min(f.ttl, time.Duration(h.TTL)*time.Second)
		owner := strings.ToLower(h.Name.String())
		records[owner] = append(records[owner], r)
	}
	at := strings.ToLower(q.Name.String())
	for range mostAliases {
		next := ""
		for _, r := range records[at] {
			if r.target != "" {
				next = r.target
			} else if !slices.Contains(f.addresses, r.address) {
				f.addresses = append(f.addresses, r.address)
			}
		}
		if next == "" || len(f.addresses) > 0 {
			break
		}
		// Names that no host can have are what no rule can deny.
		alias, ok := rule.Name(next)
		if !ok {
			return found{}, false, fmt.Errorf("it is an alias of %q, which is no name of a host", next)
		}
		f.aliases, at = append(f.aliases, alias), next
	}
	if len(f.addresses) == 0 {
		return found{}, false, errNoName
	}
	return f, false, nil
}
