// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package landlock builds and enters Landlock rulesets.
//
// A [Ruleset] is plain data: what a ruleset handles and what its rules admit.
// It can be printed, compared and sent to another process. [Ruleset.Open] turns
// it into a ruleset of the kernel, [Enter] puts the calling thread under it:
//
//	abi, err := landlock.Detect()
//	rules := landlock.Ruleset{
//		HandledFS: abi.Rights().FS,
//		Paths: []landlock.PathRule{
//			{Path: "/usr", Access: landlock.Execute | landlock.ReadFile | landlock.ReadDir},
//		},
//	}
//	set, err := rules.Open()     // opens every path
//	runtime.LockOSThread()       // Enter is for the calling thread
//	err = landlock.Enter(set, 0) // and for all that it starts from now on
//	err = landlock.Denied("/")   // the kernel must now refuse what no rule admits
//
// The example of [Enter] is this, with its errors looked at.
//
// What changes from one ABI to the next (see [ABI.Rights]):
//
//   - 1 (Linux 5.13): files and directories. Renaming or linking a file to
//     another directory is always denied.
//   - 2 (5.19): [Refer] can be granted, which allows renames across directories.
//   - 3 (6.2): [Truncate]. Before it, any file that can be found can be cut to
//     length 0 by truncate(2).
//   - 4 (6.7): [BindTCP] and [ConnectTCP], by port.
//   - 5 (6.10): [IoctlDev], ioctl(2) on device files.
//   - 6 (6.12): [ScopeAbstractUnixSocket] and [ScopeSignal].
//   - 7 (6.15): [LogNewExecOn] and other flags of [Enter] that select what is audited.
//   - 8 (7.0): [AllThreads], which applies a ruleset to all threads of a process.
//   - 9 (7.1): [ResolveUnix], connecting to a UNIX socket by its path.
//   - 10 (7.2): [BindUDP] and [ConnectSendUDP], by port.
//   - 11 (7.3): [NoNewPrivs], which sets no_new_privs only if entering succeeds.
//
// Sources: landlock(7), landlock_create_ruleset(2), landlock_add_rule(2),
// landlock_restrict_self(2), Documentation/userspace-api/landlock.rst.
package landlock
