// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package audit reads from the kernel's audit log what Landlock and seccomp
// have denied, and to whom.
//
// [Open] reads the records, an [Assembler] makes events of them. The kernel
// logs denials by Landlock since ABI 7 (Linux 6.15), of programs that were
// executed in a domain only with the flag landlock.LogNewExecOn; and what a
// seccomp filter answers with an error only if it was installed by
// SECCOMP_FILTER_FLAG_LOG, seccomp(2). Nothing is logged while auditing is disabled.
//
// Sources: Documentation/admin-guide/LSM/landlock.rst, seccomp(2), and records
// that kernels have written, in testdata.
package audit
