// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

#include "textflag.h"

// func rawCall(number, a1, a2, a3, a4, a5 uintptr) (result, errno uintptr)
TEXT ·rawCall(SB),NOSPLIT,$0-64	// without a frame the return address stays in R30
	MOVD	number+0(FP), R8
	MOVD	a1+8(FP), R0
	MOVD	a2+16(FP), R1
	MOVD	a3+24(FP), R2
	MOVD	a4+32(FP), R3
	MOVD	a5+40(FP), R4
	MOVD	ZR, R5
	SVC
	CMN	$4095, R0
	BCS	failed
	MOVD	R0, result+48(FP)
	MOVD	ZR, errno+56(FP)
	RET
failed:
	NEG	R0, R0
	MOVD	R0, errno+56(FP)
	MOVD	$-1, R4
	MOVD	R4, result+48(FP)
	RET
