// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes a TCP socket by the x32 number of socket.

#include "entries.h"

int main(void) {
	long r = x32(41, 2, 1, 0, 0);
	return r >= 0 ? 0 : refused(r);
}
