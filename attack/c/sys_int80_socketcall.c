// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes a TCP socket by the i386 call socketcall, whose number is another call of x86-64.

#include "entries.h"

int main(void) {
	unsigned *args = (unsigned *)low();
	args[0] = 2, args[1] = 1, args[2] = 0;
	long r = int80(102, 1, (long)args, 0, 0, 0);
	return r >= 0 ? 0 : refused(r);
}
