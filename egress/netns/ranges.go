// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package netns

import "net/netip"

// The ranges of synthetic addresses. That of IPv4 is for benchmarks (RFC 2544), and
// nobody's on the internet; that of IPv6 is a unique local one.
var (
	Range4 = netip.MustParsePrefix("198.18.0.0/15")
	Range6 = netip.MustParsePrefix("fd68:6172:6e00::/64")
)

// Host4 and Host6 are the addresses of the namespace itself, besides loopback: without
// one, getaddrinfo(3) with AI_ADDRCONFIG looks up nothing. No name gets them.
var (
	Host4 = netip.MustParseAddr("198.18.0.1")
	Host6 = netip.MustParseAddr("fd68:6172:6e00::1")
)
