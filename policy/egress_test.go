// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"reflect"
	"strings"
	"testing"
)

func withEgress(e *Egress) *Policy {
	return &Policy{SideEffectLevel: "network", Extensions: Extensions{Egress: e}}
}

func TestEgressNarrows(t *testing.T) {
	ceiling := &Egress{Allow: []string{"*.example.com:443", "10.0.0.0/8"}, Deny: []string{"evil.example.com"}}
	for _, c := range []struct {
		name             string
		ceiling, request *Egress
		want             *Egress // nil if it is refused
		reason           string
	}{
		{"no ceiling", nil, &Egress{Allow: []string{"a.org"}}, &Egress{Allow: []string{"a.org"}}, ""},
		{"none asked for", ceiling, nil, ceiling, ""},
		{"within", ceiling, &Egress{Allow: []string{"API.example.com:443", "10.1.2.3:80"}, Deny: []string{"x.example.com"}}, &Egress{Allow: []string{"API.example.com:443", "10.1.2.3:80"}, Deny: []string{"x.example.com", "evil.example.com"}}, ""},
		{"nothing", ceiling, &Egress{}, &Egress{Deny: []string{"evil.example.com"}}, ""},
		{"another host", ceiling, &Egress{Allow: []string{"example.com:443", "a.org"}}, nil, `egress.allow: "example.com:443", "a.org" exceed`},
		{"another port", ceiling, &Egress{Allow: []string{"api.example.com:80"}}, nil, "exceed"},
		{"others", ceiling, &Egress{Default: "allow"}, nil, "egress.default"},
		{"private", ceiling, &Egress{BlockPrivate: new(false)}, nil, "egress.block_private"},
		{"others of a ceiling that admits them", &Egress{Default: "allow", Deny: []string{"evil.com"}}, &Egress{Default: "allow"}, &Egress{Default: "allow", Deny: []string{"evil.com"}}, ""},
		{"addresses under a ceiling that admits others", &Egress{Default: "allow"}, &Egress{Allow: []string{"169.254.169.254"}}, nil, "exceed"},
	} {
		got, err := Intersect(withEgress(c.ceiling), withEgress(c.request), nil)
		if c.want == nil {
			if err == nil || !strings.Contains(err.Error(), c.reason) {
				t.Errorf("%s: %v, expected %q", c.name, err, c.reason)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got.Egress, c.want) {
			t.Errorf("%s: %+v (%v), expected %+v", c.name, got, err, c.want)
		}
	}
	below := &Policy{SideEffectLevel: "process_exec"}
	if _, err := Intersect(below, withEgress(&Egress{}), nil); err == nil || !strings.Contains(err.Error(), "egress needs side_effect_level") {
		t.Errorf("a ceiling without network: %v", err)
	}
	if got, err := Intersect(withEgress(ceiling), below, nil); err != nil || got.Egress != nil {
		t.Errorf("a request without network: %+v, %v", got, err)
	}
}

func TestEgressAsJSON(t *testing.T) {
	p, _, err := DecodeJSON([]byte(`{"egress": {"allow": ["a.com:443"], "deny": [], "default": "deny", "block_private": true}, "egress_log": true}`))
	want := Extensions{Egress: &Egress{Allow: []string{"a.com:443"}, Deny: []string{}, Default: "deny", BlockPrivate: new(true)}, EgressLog: true}
	if err != nil || !reflect.DeepEqual(p.Extensions, want) {
		t.Errorf("%+v (%v)", p, err)
	}
	if _, _, err := DecodeJSON([]byte(`{"egress": {"alow": ["a.com:443"]}}`)); err == nil || !strings.Contains(err.Error(), `"egress.alow"`) {
		t.Errorf("a member that there is not: %v", err)
	}
	if p, _, err := DecodeJSON([]byte(`{"egress": {}}`)); err != nil || p.Egress == nil {
		t.Errorf("an empty block admits nothing: %+v (%v)", p, err)
	}
	if p, _, err := DecodeJSON([]byte(`{"egress": null}`)); err != nil || p.Egress != nil {
		t.Errorf("null is no block: %+v (%v)", p, err)
	}
}

// With ports, the name server's is one that can be connected to.
func TestEgressWithPorts(t *testing.T) {
	p := withEgress(&Egress{Allow: []string{"a.com"}})
	p.TCPConnect = []int{443}
	rules := p.portRules()
	if len(rules) != 2 || rules[0].Port != 53 || rules[1].Port != 443 {
		t.Errorf("%+v", rules)
	}
}
