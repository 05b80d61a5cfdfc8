// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package egress gives a task a network in which there is nothing but the hosts that
// its rules name.
//
//	task's network namespace: lo, local routes          node's network namespace
//	 program ── api.example.com? ──> name server ┐
//	         <── 198.18.7.9 ─────────────────────┤ forwarder, a process of its own:
//	         ── connect 198.18.7.9:443 ──────────┤ looks the name up, checks the answer,
//	                                             └──> connects to what it has checked
//
// [Open] makes the namespace (package netns) and what executor needs to start the
// forwarder (package forward) beside the task. The rules are those of package rule.
//
// There is a forwarder for each task, and not one for all: it holds the task's
// connections, names and memory, in the task's cgroups and under a user of its own, so
// that a task which exhausts or breaks its forwarder has taken its own network away, and
// one that takes it over has no connection of another task's. That costs two processes
// for a task with rules. It sees what is connected, and not what is inside of TLS.
package egress
