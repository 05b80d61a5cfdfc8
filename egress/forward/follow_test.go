// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package forward

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/burin-labs/nomad-driver-harn/egress/rule"
)

// When the file changes, names are asked of the servers that it names then, what was
// remembered is asked anew, and the node's own names are those of now. What is half
// written changes nothing.
func TestResolverFollowsItsFile(t *testing.T) {
	zone := func(address string) *upstream {
		return newUpstream(t, map[string][]string{"a.example.com": {"a.example.com. 300 IN A " + address}})
	}
	first, second := zone("192.0.2.1"), zone("192.0.2.2")
	at := func(u *upstream, hosts map[string][]netip.Addr) Resolver {
		return Resolver{Servers: []netip.AddrPort{u.address}, Timeout: 2 * time.Second, Attempts: 1, Hosts: hosts}
	}
	name := filepath.Join(t.TempDir(), "resolver")
	write := func(content []byte) {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	encoded := func(r Resolver) []byte {
		content, err := EncodeResolver(r)
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	write(encoded(at(first, nil)))
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r := newResolver(at(first, nil))
	r.follow(file, &rule.Set{Allow: rules(t, "*.example.com")})
	expect := func(when, name, want string) {
		t.Helper()
		r.follows.looked = time.Time{} // as if it were long ago
		found, err := r.lookUp(t.Context(), name)
		if err != nil {
			t.Errorf("%s: %v, expected %s", when, err, want)
		} else if got := found.addresses[0].String(); got != want {
			t.Errorf("%s: %s, expected %s", when, got, want)
		}
	}
	expect("at first", "a.example.com", "192.0.2.1")
	changed := encoded(at(second, map[string][]netip.Addr{
		"b.example.com": {netip.MustParseAddr("192.0.2.3")}, "other.example.org": {netip.MustParseAddr("192.0.2.4")},
	}))
	write(changed[:len(changed)-1])
	expect("half written", "a.example.com", "192.0.2.1")
	write(nil)
	expect("empty", "a.example.com", "192.0.2.1")
	write(changed)
	expect("changed", "a.example.com", "192.0.2.2")
	expect("a name of the node's own", "b.example.com", "192.0.2.3")
	if hosts := r.current.Hosts; len(hosts) != 1 {
		t.Errorf("names that no rule admits are kept: %v", hosts)
	}
}
