// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes a user namespace by the i386 call unshare.

#include "entries.h"

int main(void) {
	long r = int80(310, 0x10000000, 0, 0, 0, 0);
	return r >= 0 ? 0 : refused(r);
}
