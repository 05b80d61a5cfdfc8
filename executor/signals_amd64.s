// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

#include "go_asm.h"
#include "textflag.h"

#define SYS_rt_sigreturn 15
#define SYS_getpid 39
#define SYS_kill 62

// func onSignal()
// It is called by the kernel, as void (*)(int), on the signal stack of a
// thread. All registers are restored when it has returned.
TEXT ·onSignal(SB), NOSPLIT|NOFRAME, $0
	MOVL	DI, SI
	ADDL	$const_raised, SI
	MOVL	$SYS_getpid, AX
	SYSCALL
	MOVL	AX, DI
	MOVL	$SYS_kill, AX
	SYSCALL
	RET

// func fromSignal()
// It is where onSignal returns to.
TEXT ·fromSignal(SB), NOSPLIT|NOFRAME, $0
	MOVL	$SYS_rt_sigreturn, AX
	SYSCALL
	INT	$3 // not reached

DATA ·onSignalAddress(SB)/8, $·onSignal(SB)
GLOBL ·onSignalAddress(SB), RODATA|NOPTR, $8
DATA ·fromSignalAddress(SB)/8, $·fromSignal(SB)
GLOBL ·fromSignalAddress(SB), RODATA|NOPTR, $8
