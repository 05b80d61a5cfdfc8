// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

#include "textflag.h"

// func rawCall(number, a1, a2, a3, a4, a5 uintptr) (result, errno uintptr)
TEXT ·rawCall(SB),NOSPLIT|NOFRAME,$0-64
	MOVQ	number+0(FP), AX
	MOVQ	a1+8(FP), DI
	MOVQ	a2+16(FP), SI
	MOVQ	a3+24(FP), DX
	MOVQ	a4+32(FP), R10
	MOVQ	a5+40(FP), R8
	XORL	R9, R9
	POPQ	R12	// the return address: the kernel leaves this register alone
	SYSCALL
	PUSHQ	R12
	CMPQ	AX, $0xfffffffffffff001
	JCC	failed
	MOVQ	AX, result+48(FP)
	MOVQ	$0, errno+56(FP)
	RET
failed:
	NEGQ	AX
	MOVQ	$-1, result+48(FP)
	MOVQ	AX, errno+56(FP)
	RET
