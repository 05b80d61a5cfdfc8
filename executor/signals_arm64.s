// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

#include "go_asm.h"
#include "textflag.h"

#define SYS_rt_sigreturn 139
#define SYS_getpid 172
#define SYS_kill 129

// func onSignal()
// It is called by the kernel, as void (*)(int), on the signal stack of a
// thread. All registers are restored when it has returned.
TEXT ·onSignal(SB), NOSPLIT|NOFRAME, $0
	ADDW	$const_raised, R0, R9
	MOVD	$SYS_getpid, R8
	SVC
	MOVW	R9, R1
	MOVD	$SYS_kill, R8
	SVC
	RET

// func fromSignal()
// It is where onSignal returns to.
TEXT ·fromSignal(SB), NOSPLIT|NOFRAME, $0
	MOVD	$SYS_rt_sigreturn, R8
	SVC
	BRK // not reached

DATA ·onSignalAddress(SB)/8, $·onSignal(SB)
GLOBL ·onSignalAddress(SB), RODATA|NOPTR, $8
DATA ·fromSignalAddress(SB)/8, $·fromSignal(SB)
GLOBL ·fromSignalAddress(SB), RODATA|NOPTR, $8
