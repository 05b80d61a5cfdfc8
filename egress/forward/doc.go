// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package forward connects a task that has no network to the hosts that its rules
// name: it serves the sockets that package netns has made in the task's network
// namespace, from outside of it.
//
// A name server (server.go) gives each admitted name a synthetic address of its own
// and asks nobody; all other names do not exist. A connection to such an address is
// one to its name (table.go): only now the name is looked up, on the node's side
// (resolve.go), what comes back is checked, and the connection goes to exactly the
// address that was checked (dial.go). Then bytes are moved, both ways, without being
// looked at (relay.go). What is refused, and on request what was connected, is
// reported (report.go).
//
// A forwarder is a process of its own for each task, see role.go: what one task does
// to its forwarder no other notices. It is confined before it begins, and needs no
// files.
package forward
