// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package rule_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/egress/rule"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"api.openai.com":                       "api.openai.com",
		"API.OpenAI.com.":                      "api.openai.com",
		" api.openai.com:443 ":                 "api.openai.com:443",
		"*.npmjs.org":                          "*.npmjs.org",
		"*.npmjs.org.:443":                     "*.npmjs.org:443",
		"localhost":                            "localhost",
		"_srv.example_host.com":                "_srv.example_host.com",
		"10.1.2.3":                             "10.1.2.3",
		"10.1.2.3:9000":                        "10.1.2.3:9000",
		"10.1.0.0/16":                          "10.1.0.0/16",
		"10.1.2.3/16:9000":                     "10.1.0.0/16:9000",
		"10.1.2.3/32":                          "10.1.2.3",
		"2001:DB8::1":                          "2001:db8::1",
		"[2001:db8::1]":                        "2001:db8::1",
		"[2001:db8::1]:443":                    "[2001:db8::1]:443",
		"2001:db8::/32":                        "2001:db8::/32",
		"[2001:db8::/32]:443":                  "[2001:db8::/32]:443",
		"::ffff:10.1.2.3":                      "10.1.2.3",
		"[::ffff:10.1.0.0/112]:80":             "10.1.0.0/16:80",
		"https://api.openai.com/v1?x#y":        "api.openai.com:443",
		"http://api.openai.com":                "api.openai.com:80",
		"HTTPS://API.openai.com:8443/":         "api.openai.com:8443",
		"wss://u:p@api.openai.com":             "api.openai.com:443",
		"postgres://db.service.consul":         "db.service.consul",
		"postgres://db.service.consul:5432/db": "db.service.consul:5432",
		"https://[2001:db8::1]/":               "[2001:db8::1]:443",
		"0.0.0.0/0":                            "0.0.0.0/0",
		"1.1.1.1:65535":                        "1.1.1.1:65535",
	} {
		r, err := rule.Parse(text)
		if err != nil || r.String() != want {
			t.Errorf("%q: %v (%v), expected %q", text, r, err, want)
			continue
		}
		if again, err := rule.Parse(want); err != nil || again != r {
			t.Errorf("%q: read again as %v (%v)", want, again, err)
		}
	}
}

func TestParseSaysWhatToWrite(t *testing.T) {
	for _, c := range []struct{ text, reason, nearest string }{
		{"", "empty", ""},
		{"  ", "empty", ""},
		{"*", "leave the block egress out", ""},
		{"*:443", "leave the block egress out", ""},
		{"*.", "no name", ""},
		{"https://", "has no host", ""},
		{"https:///path", "has no host", ""},
		{"https://:443", "has no host", ""},
		{"1x://example.com", "no scheme", "-"},
		{"example.com:", "no port", "example.com"},
		{"example.com:0", "no port, expected 1 to 65535", "-"},
		{"example.com:65536", "no port, expected 1 to 65535", "-"},
		{"example.com:99999999999999999999", "no port", "-"},
		{"example.com:https", "no port", "example.com:443"},
		{"*.example.com:HTTP", "no port", "*.example.com:80"},
		{"example.com:smtp", "no port", "-"},
		{"[2001:db8::1]:0", "no port", "-"},
		{"10.1.0.0/16:x", "no port", "-"},
		{"example.com:-1", "no port", "-"},
		{"example.com/path", "no range", "example.com"},
		{"example.com:443/path", `no port`, "example.com:443"},
		{".example.com", "no name", "*.example.com"},
		{"*example.com", "only at the beginning", "*.example.com"},
		{"api.*.example.com", "only at the beginning", "-"},
		{"*.*.example.com:443", "only at the beginning", "-"},
		{"exa mple.com", "no name", "example.com"},
		{"example..com", "no name", "example.com"},
		{"bücher.example", "xn--", ""},
		{"a\x00b.com", "no name", ""},
		{strings.Repeat("a", 64) + ".com", "no name", ""},
		{strings.Repeat("a.", 127) + "com", "no name", ""},
		{"10.1", "last label of a name is no number", ""},
		{"10.1.2.3.4", "last label", ""},
		{"0x7f.0x1", "last label", ""},
		{"2130706433", "last label", ""},
		{"010.1.2.3", "last label", ""},
		{"10.1.0.0/33", "no range", "10.1.0.0"},
		{"10.1.0.0/", "no range", "10.1.0.0"},
		{"[2001:db8::1", `no "]"`, "2001:db8::1"},
		{"[2001:db8::1]443", "follows", "[2001:db8::1]:443"},
		{"[example.com]:443", "no address of IPv6", "example.com:443"},
		{"2001:db8::g", "no address of IPv6", ""},
		{"fe80::1%eth0", "zone", "fe80::1"},
		{"::ffff:0:0/80", "IPv4 written as IPv6", "0.0.0.0"},
		{"2606::/16:2", "no range", "[2606::/16]:2"},
		{"udp://example.com:53:53", "no address of IPv6", ""},
	} {
		r, err := rule.Parse(c.text)
		var e *rule.Error
		if !errors.As(err, &e) {
			t.Errorf("%q: is rule %v (%v), expected none", c.text, r, err)
			continue
		}
		if !strings.Contains(e.Reason, c.reason) {
			t.Errorf("%q: reason is %q, expected %q", c.text, e.Reason, c.reason)
		}
		// "-" is none: all that parses admits more than was written.
		if c.nearest != "" && e.Nearest != strings.TrimPrefix(c.nearest, "-") {
			t.Errorf("%q: nearest is %q, expected %q", c.text, e.Nearest, c.nearest)
		}
	}
}

func parse(t testing.TB, texts ...string) (rules []rule.Rule) {
	t.Helper()
	for _, text := range texts {
		r, err := rule.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		rules = append(rules, r)
	}
	return rules
}

// The examples of Harn's documentation and tests, by what they say.
func TestMatchesAsHarnDoes(t *testing.T) {
	for _, c := range []struct {
		rule, host string
		port       uint16
		matches    bool
	}{
		{"api.openai.com", "api.openai.com", 443, true},
		{"api.openai.com", "api.openai.com", 80, true},
		{"api.openai.com", "x.api.openai.com", 443, false},
		{"api.openai.com", "openai.com", 443, false},
		{"api.openai.com:443", "api.openai.com", 443, true},
		{"api.openai.com:443", "api.openai.com", 8443, false},
		{"*.npmjs.org", "registry.npmjs.org", 443, true},
		{"*.npmjs.org", "a.b.c.npmjs.org", 443, true},
		{"*.npmjs.org", "npmjs.org", 443, false},
		{"*.npmjs.org", "evilnpmjs.org", 443, false},
		{"*.npmjs.org", "npmjs.org.evil.com", 443, false},
		{"*.npmjs.org:443", "registry.npmjs.org", 80, false},
		{"https://api.openai.com", "api.openai.com", 443, true},
		{"https://api.openai.com", "api.openai.com", 80, false},
		{"10.1.2.3", "10.1.2.3", 80, true},
		{"10.1.2.3", "10.1.2.4", 80, false},
		{"10.1.0.0/16:9000", "10.1.255.1", 9000, true},
		{"10.1.0.0/16:9000", "10.1.255.1", 9001, false},
		{"10.1.0.0/16", "10.2.0.1", 9000, false},
		{"10.1.0.0/16", "::ffff:10.1.0.1", 9000, true},
		{"2001:db8::/32", "2001:db8:1::1", 443, true},
		{"2001:db8::/32", "2001:db9::1", 443, false},
		{"::/0", "10.1.2.3", 443, false},
		{"0.0.0.0/0", "2001:db8::1", 443, false},
	} {
		s := &rule.Set{Allow: parse(t, c.rule), Private: true}
		deny := &rule.Set{Deny: parse(t, c.rule), Others: true, Private: true}
		decide := func(s *rule.Set) rule.Verdict {
			if address, err := netip.ParseAddr(c.host); err == nil {
				return s.Direct(address, c.port, false)
			}
			return s.Host(c.host, c.port)
		}
		if v := decide(s); v.Admitted != c.matches {
			t.Errorf("allow %q: %s:%d admitted is %v (%s), expected %v", c.rule, c.host, c.port, v.Admitted, v.Reason, c.matches)
		}
		if v := decide(deny); v.Admitted == c.matches {
			t.Errorf("deny %q: %s:%d admitted is %v, expected %v", c.rule, c.host, c.port, v.Admitted, !c.matches)
		}
	}
}

func TestReasonsAreHarns(t *testing.T) {
	s := &rule.Set{Allow: parse(t, "*.npmjs.org:443"), Deny: parse(t, "evil.npmjs.org", "*.bad.npmjs.org:443", "10.0.0.0/8")}
	for _, c := range []struct {
		v    rule.Verdict
		want string
	}{
		{s.Host("registry.npmjs.org", 443), ""},
		{s.Host("registry.npmjs.org", 80), "no allow rule matched"},
		{s.Host("evil.npmjs.org", 443), "matched deny rule `evil.npmjs.org`"},
		{s.Lookup("registry.npmjs.org"), ""},
		{s.Lookup("evil.npmjs.org"), "matched deny rule `evil.npmjs.org`"},
		{s.Lookup("x.bad.npmjs.org"), "matched deny rule `*.bad.npmjs.org:443`"},
		{s.Lookup("pypi.org"), "no allow rule matched"},
		{s.Alias("cdn.example.com", 443), ""},
		{s.Alias("evil.npmjs.org", 443), "matched deny rule `evil.npmjs.org`"},
		{s.Address(netip.MustParseAddr("1.1.1.1"), 443, false), ""},
		{s.Address(netip.MustParseAddr("1.1.1.1"), 443, true), "1.1.1.1 is an address of this node, and no rule admits it"},
		{s.Address(netip.MustParseAddr("::ffff:192.168.0.1"), 443, false), "192.168.0.1 is a private address, and no rule admits it"},
		{s.Address(netip.MustParseAddr("192.0.2.1"), 443, false), "192.0.2.1 is a reserved address, and no rule admits it"},
		{s.Address(netip.MustParseAddr("198.51.100.1"), 443, false), "198.51.100.1 is a reserved address, and no rule admits it"},
		{s.Address(netip.MustParseAddr("203.0.113.1"), 443, false), "203.0.113.1 is a reserved address, and no rule admits it"},
		{s.Address(netip.MustParseAddr("250.0.0.1"), 443, false), "250.0.0.1 is a reserved address, and no rule admits it"},
		{s.Address(netip.MustParseAddr("2001:db8::1"), 443, false), "2001:db8::1 is a reserved address, and no rule admits it"},
		{s.Address(netip.MustParseAddr("169.254.169.254"), 443, false), "169.254.169.254 is a link-local address, and no rule admits it"},
		{s.Address(netip.MustParseAddr("127.0.0.1"), 443, false), "127.0.0.1 is a loopback address, and no rule admits it"},
		{s.Address(netip.MustParseAddr("100.64.0.1"), 443, false), "100.64.0.1 is a carrier's address, and no rule admits it"},
		{s.Address(netip.MustParseAddr("64:ff9b::808:808"), 443, false), "64:ff9b::808:808 is a translated address, and no rule admits it"},
		{s.Address(netip.MustParseAddr("10.0.0.1"), 443, false), "matched deny rule `10.0.0.0/8`"},
		{s.Direct(netip.MustParseAddr("1.1.1.1"), 443, false), "no allow rule matched"},
	} {
		if c.v.Reason != c.want || c.v.Admitted != (c.want == "") {
			t.Errorf("%+v, expected %q", c.v, c.want)
		}
	}
}

// A rule of Deny for an address of IPv4 holds for those of IPv6 that stand for it.
func TestDenyIsForWhatAnAddressStandsFor(t *testing.T) {
	s := &rule.Set{Others: true, Private: true, Deny: parse(t, "10.0.0.0/8")}
	for text, admitted := range map[string]bool{
		"10.0.0.1": false, "::ffff:10.0.0.1": false, "64:ff9b::a00:1": false, "2002:a00:1::": false, "::ffff:0:10.0.0.1": false,
		"11.0.0.1": true, "64:ff9b::b00:1": true, "2002:b00:1::": true, "2606:4700::a00:1": true,
	} {
		address := netip.MustParseAddr(text)
		if v := s.Address(address, 443, false); v.Admitted != admitted {
			t.Errorf("a name that resolves to %s: %+v, expected admitted %v", text, v, admitted)
		}
		if v := s.Direct(address, 443, false); v.Admitted != admitted {
			t.Errorf("%s: %+v, expected admitted %v", text, v, admitted)
		}
	}
}

func TestPrivateAddresses(t *testing.T) {
	none := &rule.Set{Others: true}
	for _, text := range []string{
		"127.0.0.1", "127.255.255.254", "169.254.169.254", "::ffff:10.0.0.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255",
		"192.168.1.1", "100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "224.0.0.1", "239.255.255.255", "255.255.255.255", "198.18.0.1",
		"::", "::1", "::7f00:1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "64:ff9b::7f00:1", "64:ff9b:1::1",
		"2002:7f00:1::", "2001::1", "::ffff:0:127.0.0.1", "fec0::1",
	} {
		if v := none.Address(netip.MustParseAddr(text), 443, false); v.Admitted {
			t.Errorf("%s is admitted, expected that it is private", text)
		}
		some := &rule.Set{Others: true, Allow: parse(t, netip.MustParseAddr(text).Unmap().WithZone("").String()+"/8")}
		if v := some.Address(netip.MustParseAddr(text), 443, false); !v.Admitted {
			t.Errorf("%s is not admitted by a rule for it: %s", text, v.Reason)
		}
	}
	for _, text := range []string{"1.1.1.1", "8.8.8.8", "172.15.255.255", "172.32.0.0", "100.63.255.255", "100.128.0.0", "2606:4700::1111", "::ffff:1.1.1.1"} {
		if v := none.Address(netip.MustParseAddr(text), 443, false); !v.Admitted {
			t.Errorf("%s is not admitted: %s", text, v.Reason)
		}
	}
}
