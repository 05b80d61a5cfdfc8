// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes a TCP socket by the i386 call socket.

#include "entries.h"

int main(void) {
	long r = int80(359, 2, 1, 0, 0, 0);
	return r >= 0 ? 0 : refused(r);
}
