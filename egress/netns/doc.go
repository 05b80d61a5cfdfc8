// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package netns makes the network namespace of a task with egress rules, and the
// sockets in it that a forwarder is to serve.
//
// It has one interface, lo, and routes of type "local" alone: of the range that
// names get synthetic addresses from, and of the addresses that rules name. The
// kernel takes each address of such a range for one of its own. No other address has
// a route, and nothing leaves the namespace.
//
// A connection to any of these addresses, on any port, ends at one listening socket:
// a program of the kernel's socket lookup (BPF_PROG_TYPE_SK_LOOKUP, Linux 5.9)
// chooses it. A socket for each port would take 65535 of them for a rule that names
// none, and a packet filter modules that a host may not have. The addresses of the
// task's own services (loopback, Config.Own) are left to them.
package netns
