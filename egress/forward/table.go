// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package forward

import (
	"container/list"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"sync"
)

// table knows which synthetic address is which name's. It holds a limited number of
// names: for a new one, that goes which was asked for, and connected to, the longest
// time ago.
//
// An address is made of its name, and not of what was asked before: a name that comes
// back has the address that it had, also after the forwarder was started anew; and
// what has kept an address for long does not find another name there, unless thousands of
// names were asked for since, of which one has the same. Names that rules have whole stay.
type table struct {
	four, six netip.Prefix
	key       []byte
	most      int

	mutex  sync.Mutex
	byName map[string]*list.Element
	byHost map[uint32]*list.Element
	used   list.List // of *entry, the last used first
	pinned int
}

type entry struct {
	name string
	host uint32 // the address's number within its range
	// open connections keep the entry.
	open int
}

func newTable(p *Plan, most int) *table {
	return &table{
		four: p.Synthetic4, six: p.Synthetic6, key: p.Key, most: most,
		byName: map[string]*list.Element{}, byHost: map[uint32]*list.Element{},
	}
}

// hosts is how many numbers there are, of which the first ones are nobody's.
func (t *table) hosts() uint32 { return 1 << (32 - t.four.Bits()) }

// reserved are the numbers that no name gets: the range's own, and those of the
// namespace.
const reserved = 16

// address returns the address of IPv4 and of IPv6 of a name, false if there is no room
// for it.
func (t *table) address(name string) (four, six netip.Addr, ok bool) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	e, ok := t.byName[name]
	if ok {
		t.used.MoveToFront(e)
	} else if e, ok = t.add(name); !ok {
		return four, six, false
	}
	host := e.Value.(*entry).host
	return t.at(t.four, host), t.at(t.six, host), true
}

// pin gives a name its address for good, if at most half of the room is taken so: no
// number of other names makes it go.
func (t *table) pin(name string) {
	if _, _, ok := t.address(name); !ok {
		return
	}
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if e := t.byName[name]; e != nil && t.pinned < t.most/2 {
		e.Value.(*entry).open++
		t.pinned++
	}
}

func (t *table) add(name string) (*list.Element, bool) {
	if t.used.Len() >= t.most && !t.forget() {
		return nil, false
	}
	sum := sha256.Sum256(append(append([]byte{}, t.key...), name...))
	const tries = 7 // as often as the sum has new bits
	for i := range tries {
		host := binary.BigEndian.Uint32(sum[4*i:]) % t.hosts()
		if host < reserved || host == t.hosts()-1 || t.byHost[host] != nil {
			continue
		}
		e := t.used.PushFront(&entry{name: name, host: host})
		t.byName[name], t.byHost[host] = e, e
		return e, true
	}
	return nil, false
}

// forget removes the name that was not used for longest, false if all are in use.
func (t *table) forget() bool {
	for e := t.used.Back(); e != nil; e = e.Prev() {
		old := e.Value.(*entry)
		if old.open > 0 {
			continue
		}
		delete(t.byName, old.name)
		delete(t.byHost, old.host)
		t.used.Remove(e)
		return true
	}
	return false
}

// synthetic reports whether an address is of the ranges.
func (t *table) synthetic(address netip.Addr) bool {
	return t.four.Contains(address) || t.six.Contains(address)
}

// open returns the name that an address is of, and keeps it until release is called.
func (t *table) open(address netip.Addr) (name string, release func(), ok bool) {
	bytes := address.AsSlice()
	host := binary.BigEndian.Uint32(bytes[len(bytes)-4:])
	if address.Is4() {
		host &= t.hosts() - 1
	}
	t.mutex.Lock()
	defer t.mutex.Unlock()
	e := t.byHost[host]
	if e == nil || address.Is6() && t.at(t.six, host) != address {
		return "", nil, false
	}
	t.used.MoveToFront(e)
	held := e.Value.(*entry)
	held.open++
	return held.name, func() {
		t.mutex.Lock()
		defer t.mutex.Unlock()
		held.open--
	}, true
}

// at is the address with a number in a range.
func (t *table) at(in netip.Prefix, host uint32) netip.Addr {
	bytes := in.Addr().AsSlice()
	last := bytes[len(bytes)-4:]
	binary.BigEndian.PutUint32(last, binary.BigEndian.Uint32(last)|host)
	address, _ := netip.AddrFromSlice(bytes)
	return address
}
