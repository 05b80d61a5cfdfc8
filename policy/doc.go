// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package policy decides what a task may do.
//
// A [Policy] is Harn's capability policy as a job or an operator wrote it. It
// passes these steps, each a function of its own:
//
//	Validate    names and paths mean something
//	Intersect   what the operator's ceiling leaves of it
//	Resolve     its roots, looked up in the file system
//	Build       the Plan: Landlock rules and system calls for a kernel's ABI
//
// All but Resolve are pure: they can be tested, printed and compared without
// a kernel. The package knows nothing of Nomad.
package policy
