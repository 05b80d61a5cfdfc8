// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package rule says which hosts a program may connect to: Harn's egress rules.
//
//	api.openai.com        this host, on any port
//	api.openai.com:443    this host, on this port
//	*.npmjs.org:443       hosts below npmjs.org, at any depth, and not npmjs.org
//	10.1.2.3, 10.1.0.0/16:9000, [2001:db8::1]:443, [2001:db8::/32]:443
//	https://example.com   the URL's host and port, which is 443
//
// A rule for a name says nothing of addresses, and one for addresses nothing of
// names; but an address that a name resolves to is looked at as well: see
// [Set.Address].
//
// The package decides and does nothing else: it has no sockets, and knows neither
// Nomad nor policies.
package rule
