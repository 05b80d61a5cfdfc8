// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package rule_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/egress/rule"
)

// A small world, in which all that can be asked is asked.
var (
	worldRules = []string{
		"a.com", "a.com:1", "*.a.com", "*.a.com:2", "b.a.com", "c.b.a.com:1", "*.b.a.com", "aa.com", "*.com", "com",
		"10.0.0.1", "10.0.0.0/8", "10.0.0.0/8:1", "1.1.1.1:2", "1.0.0.0/8", "0.0.0.0/0", "[::1]:1", "::/0", "[2606::/16]:2",
	}
	worldHosts = []string{
		"a.com", "b.a.com", "c.b.a.com", "d.c.b.a.com", "aa.com", "com", "x.org", "b.aa.com",
	}
	worldAddresses = []string{"10.0.0.1", "10.9.9.9", "1.1.1.1", "1.9.9.9", "9.9.9.9", "127.0.0.1", "::1", "2606::1", "fd00::1"}
	worldPorts     = []uint16{1, 2, 3}
)

// matches is what Harn's documentation says, by texts.
func matches(text, host string, port uint16) bool {
	body, bound := text, ""
	if inside, ok := strings.CutPrefix(text, "["); ok {
		var after string
		body, after, _ = strings.Cut(inside, "]")
		bound = strings.TrimPrefix(after, ":")
	} else if strings.Count(text, ":") == 1 {
		body, bound, _ = strings.Cut(text, ":")
	}
	if bound != "" && bound != fmt.Sprint(port) {
		return false
	}
	if strings.Contains(body, "/") {
		address, err := netip.ParseAddr(host)
		return err == nil && netip.MustParsePrefix(body).Contains(address)
	}
	if suffix, ok := strings.CutPrefix(body, "*"); ok {
		return strings.HasSuffix(host, suffix) && host != suffix
	}
	return body == host
}

type world struct {
	allow, deny     []string
	others, private bool
}

func (w *world) set(t testing.TB) *rule.Set {
	return &rule.Set{Allow: parse(t, w.allow...), Deny: parse(t, w.deny...), Others: w.others, Private: w.private}
}

func anyOf(rules []string, host string, port uint16) bool {
	for _, text := range rules {
		if matches(text, host, port) {
			return true
		}
	}
	return false
}

func (w *world) host(host string, port uint16) bool {
	return !anyOf(w.deny, host, port) && (w.others || anyOf(w.allow, host, port))
}

func random(r *rand.Rand) *world {
	pick := func() (some []string) {
		for range r.IntN(4) {
			some = append(some, worldRules[r.IntN(len(worldRules))])
		}
		return some
	}
	return &world{pick(), pick(), r.IntN(4) == 0, r.IntN(2) == 0}
}

func TestDecisionsByBruteForce(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		w := random(r)
		s := w.set(t)
		for _, host := range worldHosts {
			some := false
			for _, port := range worldPorts {
				want := w.host(host, port)
				some = some || want
				if got := s.Host(host, port); got.Admitted != want {
					t.Fatalf("%+v: %s:%d is %+v, expected %v", w, host, port, got, want)
				}
			}
			// Port 3 stands for all that no rule names.
			if got := s.Lookup(host); got.Admitted != some {
				t.Fatalf("%+v: looking up %s is %+v, expected %v", w, host, got, some)
			}
		}
		for _, text := range worldAddresses {
			address := netip.MustParseAddr(text)
			closed := !w.private && (rule.IsPrivate(address) || text == "9.9.9.9")
			for _, port := range worldPorts {
				denied, named := anyOf(w.deny, text, port), anyOf(w.allow, text, port)
				own := text == "9.9.9.9"
				if got, want := s.Address(address, port, own), !denied && (named || !closed); got.Admitted != want {
					t.Fatalf("%+v: a name's %s:%d is %+v, expected %v", w, text, port, got, want)
				}
				if got, want := s.Direct(address, port, own), !denied && (named || w.others && !closed); got.Admitted != want {
					t.Fatalf("%+v: %s:%d is %+v, expected %v", w, text, port, got, want)
				}
			}
		}
	}
}

// What a ceiling and a request have in common is never more than either admits, and
// all that both admit by the request's rules.
func TestIntersectionIsNeverWider(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	tried := 0
	for range 30000 {
		wc, wr := random(r), random(r)
		ceiling, request := wc.set(t), wr.set(t)
		if len(ceiling.Beyond(request.Allow)) > 0 {
			continue
		}
		tried++
		both := rule.Intersect(ceiling, request)
		check := func(what string, got, c, r rule.Verdict, exact bool) {
			if got.Admitted && (!c.Admitted || !r.Admitted) {
				t.Fatalf("ceiling %+v, request %+v: %s is admitted, expected that it is not: %+v %+v", wc, wr, what, c, r)
			}
			if exact && !got.Admitted && c.Admitted && r.Admitted {
				t.Fatalf("ceiling %+v, request %+v: %s is not admitted (%s), expected that it is", wc, wr, what, got.Reason)
			}
		}
		for _, host := range worldHosts {
			check(host, both.Lookup(host), ceiling.Lookup(host), request.Lookup(host), false)
			for _, port := range worldPorts {
				check(fmt.Sprint(host, port), both.Host(host, port), ceiling.Host(host, port), request.Host(host, port), !request.Others)
			}
		}
		for _, text := range worldAddresses {
			address := netip.MustParseAddr(text)
			for _, port := range worldPorts {
				for _, own := range []bool{false, true} {
					check("a name's "+text, both.Address(address, port, own), ceiling.Address(address, port, own), request.Address(address, port, own), false)
					check(text, both.Direct(address, port, own), ceiling.Direct(address, port, own), request.Direct(address, port, own), false)
				}
			}
		}
	}
	if tried < 1000 {
		t.Fatalf("%d intersections were tried, expected 1000", tried)
	}
}

func TestCoverageByBruteForce(t *testing.T) {
	for _, a := range worldRules {
		for _, b := range worldRules {
			ra, rb := parse(t, a)[0], parse(t, b)[0]
			if !(&rule.Set{Allow: []rule.Rule{ra}}).Covers(rb) {
				continue
			}
			for _, host := range append(worldHosts, worldAddresses...) {
				for _, port := range worldPorts {
					if matches(b, host, port) && !matches(a, host, port) {
						t.Errorf("%q covers %q, but only the latter matches %s:%d", a, b, host, port)
					}
				}
			}
		}
	}
	for _, c := range [][2]string{
		{"*.a.com", "b.a.com"},
		{"*.a.com", "*.b.a.com:2"},
		{"a.com", "a.com:1"},
		{"10.0.0.0/8", "10.0.0.1"},
		{"10.0.0.0/8:1", "10.1.0.0/16:1"},
	} {
		if !(&rule.Set{Allow: parse(t, c[0])}).Covers(parse(t, c[1])[0]) {
			t.Errorf("%q does not cover %q", c[0], c[1])
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range worldRules {
		f.Add(text)
	}
	for _, text := range []string{"https://a.com/", "[::1", "*", "a..b", "fe80::1%x", "::ffff:1.2.3.4/100", "http://[", "a:b:c", "*.*.x", "\x00", "ä.com"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := rule.Parse(text)
		if err != nil {
			var e *rule.Error
			if !errors.As(err, &e) || e.Reason == "" {
				t.Fatalf("%q: %v", text, err)
			}
			if e.Nearest != "" {
				if _, err := rule.Parse(e.Nearest); err != nil {
					t.Fatalf("%q: the nearest rule is none: %v", text, err)
				}
			}
			return
		}
		again, err := rule.Parse(r.String())
		if err != nil || again != r {
			t.Fatalf("%q is %+v, which is written %q and read as %+v (%v)", text, r, r, again, err)
		}
		if (r.Name == "") != r.Addresses.IsValid() {
			t.Fatalf("%q: %+v has not one of name and addresses", text, r)
		}
		if r.Name != "" {
			if name, ok := rule.Name(r.Name); !ok || name != r.Name {
				t.Fatalf("%q: %q is no name", text, r.Name)
			}
		}
		// Deny wins.
		s := &rule.Set{Allow: []rule.Rule{r}, Deny: []rule.Rule{r}, Others: true, Private: true}
		port := max(r.Port, 1)
		if r.Name != "" && !r.Below && s.Host(r.Name, port).Admitted || r.Below && s.Host("x."+r.Name, port).Admitted ||
			r.Name == "" && s.Direct(r.Addresses.Addr(), port, false).Admitted {
			t.Fatalf("%q: a rule that is denied and allowed admits", text)
		}
	})
}
