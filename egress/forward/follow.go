// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package forward

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"net/netip"
	"os"
	"time"

	"github.com/burin-labs/nomad-driver-harn/egress/rule"
)

// A file that says how the node looks names up is written anew, in place, whenever that
// changes: a forwarder has it open, and can open nothing. It is a checksum of what
// follows, as eight hexadecimal digits and a line break, and a [Resolver] as JSON. Whoever
// reads while it is written sees that the sum is another one.

// sumLength is that of the checksum's line.
const sumLength = 9

// mostResolver is the size in bytes up to which such a file is read.
const mostResolver = 1 << 20

// followPeriod is how often a forwarder looks for changes, if names are looked up.
const followPeriod = time.Second

// EncodeResolver returns the content of a file that forwarders follow.
func EncodeResolver(r Resolver) ([]byte, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	if len(text)+sumLength > mostResolver {
		return nil, fmt.Errorf("what resolv.conf and hosts say takes %d bytes, expected at most %d", len(text)+sumLength, mostResolver)
	}
	return append(fmt.Appendf(nil, "%08x\n", crc32.ChecksumIEEE(text)), text...), nil
}

// DecodeResolver reads what [EncodeResolver] has written; it is an error if that is not whole.
func DecodeResolver(content []byte) (r Resolver, err error) {
	if len(content) < sumLength || !bytes.Equal(content[:sumLength], fmt.Appendf(nil, "%08x\n", crc32.ChecksumIEEE(content[sumLength:]))) {
		return r, fmt.Errorf("the checksum is not that of %d bytes", len(content))
	}
	return r, json.Unmarshal(content[sumLength:], &r)
}

// For leaves out the names of the node's own that the rules do not admit.
func (r Resolver) For(rules *rule.Set) Resolver {
	hosts := map[string][]netip.Addr{}
	for name, addresses := range r.Hosts {
		if rules.Lookup(name).Admitted {
			hosts[name] = addresses
		}
	}
	r.Hosts = hosts
	return r
}

// follower reads such a file when it has changed.
type follower struct {
	file   *os.File
	rules  *rule.Set
	looked time.Time
	sum    [sumLength]byte // of what was read last
}

// changed returns what the file says, if that is something new. A file that cannot be
// read, or is just being written, changes nothing: the next look is at the new one.
func (f *follower) changed(now time.Time) (r Resolver, ok bool) {
	if now.Sub(f.looked) < followPeriod {
		return r, false
	}
	f.looked = now
	var sum [sumLength]byte
	if _, err := f.file.ReadAt(sum[:], 0); err != nil || sum == f.sum {
		return r, false
	}
	content, err := io.ReadAll(io.NewSectionReader(f.file, 0, mostResolver))
	if err != nil {
		return r, false
	}
	if r, err = DecodeResolver(content); err != nil {
		return r, false
	}
	f.sum = [sumLength]byte(content)
	return r.For(f.rules), true
}
