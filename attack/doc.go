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
//
// Stories are attacks of other people than a program in a task, in four groups:
//
//	author_    who submits the job: places, users, environment, words, ceilings
//	next_      what a task or an artifact prepares for the next start
//	host_      the host changes its files while tasks run, and between starts
//	operator_  sessions in a hostile task, and the command line at a terminal
//
// A story plays a scene: it arranges files of the host and an allocation,
// starts tasks that carry operations out and write down how each ended, and
// judges by that and by what the host has afterwards. What is refused at its
// start must say which field and which place it is about. ATTACK_RUN=host_ runs
// one group, ATTACK_RUN=NAME those whose names contain it.
package attack
