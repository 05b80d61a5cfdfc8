// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package rule

import "net/netip"

// privates are the addresses that are not of the public internet, by the registries
// of special purposes that IANA keeps (RFC 6890), those in which one of IPv4 is
// hidden, and those of metadata services that are neither.
var privates = prefixes(
	"0.0.0.0/8",        // this host: connect(2) takes it for loopback
	"10.0.0.0/8",       // private, RFC 1918
	"100.64.0.0/10",    // carriers' NAT, RFC 6598; metadata of Alibaba Cloud
	"127.0.0.0/8",      // loopback
	"168.63.129.16/32", // public by the registries; the wire server of Azure, which has the machine's certificates
	"169.254.0.0/16",   // link-local; metadata of most clouds
	"172.16.0.0/12",    // private
	"192.0.0.0/24",     // protocol assignments; metadata of Oracle Cloud
	"192.0.2.0/24",     // documentation
	"192.88.99.0/24",   // 6to4 relays
	"192.168.0.0/16",   // private
	"198.18.0.0/15",    // benchmarks; the synthetic addresses of tasks
	"198.51.100.0/24",  // documentation
	"203.0.113.0/24",   // documentation
	"224.0.0.0/4",      // multicast
	"240.0.0.0/4",      // reserved, broadcast
	"::/96",            // unspecified, loopback, IPv4-compatible
	"::ffff:0:0:0/96",  // IPv4-translated, RFC 2765
	"64:ff9b::/96",     // NAT64: an address of IPv4, whichever
	"64:ff9b:1::/48",   // NAT64 within a network
	"100::/64",         // discarded
	"2001::/23",        // protocol assignments, Teredo
	"2001:db8::/32",    // documentation
	"2002::/16",        // 6to4: an address of IPv4, whichever
	"3fff::/20",        // documentation
	"5f00::/16",        // segment routing
	"fc00::/7",         // unique local; metadata of AWS (fd00:ec2::254)
	"fe80::/10",        // link-local
	"fec0::/10",        // site-local
	"ff00::/8",         // multicast
)

// embeds are the prefixes of addresses that stand for one of IPv4, and the byte at which
// they have it: translators and tunnels of a network lead there.
var embeds = map[netip.Prefix]int{
	netip.MustParsePrefix("::ffff:0:0:0/96"): 12, // RFC 2765
	netip.MustParsePrefix("64:ff9b::/96"):    12, // RFC 6052
	netip.MustParsePrefix("2002::/16"):       2,  // RFC 3056
}

// embedded returns the address of IPv4 that one of IPv6 stands for.
func embedded(address netip.Addr) (four netip.Addr, ok bool) {
	if address = plain(address); !address.Is6() {
		return four, false
	}
	for prefix, at := range embeds {
		if prefix.Contains(address) {
			bytes := address.As16()
			return netip.AddrFrom4([4]byte(bytes[at : at+4])), true
		}
	}
	return four, false
}

// carriers is the network between carriers and their customers.
var carriers = netip.MustParsePrefix("100.64.0.0/10")

// special names what an address is that is private by [IsPrivate]. Those of documentation,
// protocols, benchmarks and the future are nobody's: they are reserved.
func special(address netip.Addr) string {
	address = plain(address)
	_, hidden := embedded(address)
	switch {
	case address.IsLoopback():
		return "loopback"
	case address.IsPrivate():
		return "private"
	case address.IsLinkLocalUnicast():
		return "link-local"
	case address.IsMulticast():
		return "multicast"
	case carriers.Contains(address):
		return "carrier's"
	case hidden:
		return "translated"
	}
	return "reserved"
}

func prefixes(texts ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		out[i] = netip.MustParsePrefix(text)
	}
	return out
}

// IsPrivate reports whether an address is not of the public internet: loopback, of a
// private, link-local or carrier's network, multicast, reserved, or one in which an
// address of IPv4 is hidden. Those are the addresses of metadata services, too.
func IsPrivate(address netip.Addr) bool {
	address = plain(address)
	if !address.IsValid() {
		return true
	}
	for _, p := range privates {
		if p.Contains(address) {
			return true
		}
	}
	return false
}
