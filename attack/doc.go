// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package attack runs attacks in tasks of the real driver, under each profile,
// and proves that all of them fail. An attack is one file: in Go in suite/, in
// C in c/, a shell script in scripts/, or a test of this package where the
// attacker and the driver race each other.
//
// Each attack is shown to be one by its control: the same program, run without
// the driver by the same user, or by root where only root could do it, gets
// through. An attack whose control fails says nothing on this kernel, and is
// reported so. Many have a sibling, too: the same operation on what the policy
// admits, by the same process, must work.
package attack
