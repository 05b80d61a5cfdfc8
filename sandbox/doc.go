// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package sandbox decides what a task may do: which files it sees, by which
// mounts and Landlock rules, which system calls are denied, who it runs as, and
// with which environment and limits. It knows neither Nomad nor gRPC, changes
// nothing on the host, and starts nothing: its product is a plan for package
// executor.
//
// An operator's [Settings], a [Task] and its [Request] go into [Build]. [Explain]
// answers what a task may do without one, and [PrepareRun] plans one for the
// command line: by the same functions.
package sandbox
