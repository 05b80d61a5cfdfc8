// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package rule

import (
	"net/netip"
	"strconv"
	"strings"
)

// Rule matches hosts and ports. It has a name or addresses, never both.
type Rule struct {
	// Name is a host's, in lower case and without a final dot.
	Name string
	// Below: not Name is matched, but every name that ends with it behind a dot.
	Below bool
	// Addresses is valid in a rule without a name. That of one address is as long as
	// the address.
	Addresses netip.Prefix
	// Port is 0 for any.
	Port uint16
}

// String is the rule as [Parse] takes it, in its shortest form.
func (r Rule) String() string {
	var host string
	switch {
	case r.Below:
		host = "*." + r.Name
	case r.Name != "":
		host = r.Name
	case r.Addresses.IsSingleIP():
		host = r.Addresses.Addr().String()
	default:
		host = r.Addresses.String()
	}
	if r.Port == 0 {
		return host
	}
	if r.Name == "" && r.Addresses.Addr().Is6() {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(int(r.Port))
}

// Describe says what the rule matches.
func (r Rule) Describe() string {
	var what string
	switch {
	case r.Below:
		what = "every name below " + r.Name + ", not itself"
	case r.Name != "":
		what = "this name"
	case r.Addresses.IsSingleIP():
		what = "this address"
	default:
		what = "these addresses"
	}
	if r.Port == 0 {
		return what + ", on any port"
	}
	return what + ", on this port"
}

// matchesName reports whether the rule is for a name, on whichever port. The name is
// in lower case and without a final dot.
func (r Rule) matchesName(name string) bool {
	if r.Name == "" {
		return false
	}
	if !r.Below {
		return name == r.Name
	}
	rest, ok := strings.CutSuffix(name, r.Name)
	return ok && len(rest) > 1 && strings.HasSuffix(rest, ".")
}

// matchesAddress reports whether the rule is for an address, on whichever port.
func (r Rule) matchesAddress(address netip.Addr) bool {
	return r.Name == "" && r.Addresses.Contains(plain(address))
}

// on reports whether the rule is for a port.
func (r Rule) on(port uint16) bool { return r.Port == 0 || r.Port == port }

// covers reports whether the rule matches all that another one does.
func (r Rule) covers(other Rule) bool {
	if r.Port != 0 && r.Port != other.Port {
		return false
	}
	if r.Name == "" || other.Name == "" {
		return r.Name == other.Name && r.Addresses.Bits() <= other.Addresses.Bits() && r.Addresses.Contains(other.Addresses.Addr())
	}
	if !other.Below {
		return r.matchesName(other.Name)
	}
	return r.Below && (r.Name == other.Name || r.matchesName(other.Name))
}

// plain is an address as rules have it: one of IPv4 is never written as one of
// IPv6, and has no zone.
func plain(address netip.Addr) netip.Addr { return address.Unmap().WithZone("") }

// Name returns a host's name as rules have it, if it can be one: labels of letters,
// digits, hyphens and underscores.
func Name(host string) (name string, ok bool) {
	const most, mostOfLabel = 253, 63
	name = strings.ToLower(strings.TrimSuffix(host, "."))
	if name == "" || len(name) > most {
		return "", false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > mostOfLabel {
			return "", false
		}
		for _, c := range []byte(label) {
			if !letter(c) {
				return "", false
			}
		}
	}
	return name, true
}

func letter(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// MarshalText writes the rule as [Parse] takes it.
func (r Rule) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads a rule.
func (r *Rule) UnmarshalText(text []byte) (err error) {
	*r, err = Parse(string(text))
	return err
}
