// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes any system call at all by int 0x80.

#include "entries.h"

int main(void) {
	long r = int80(20, 0, 0, 0, 0, 0);
	return r > 0 ? 0 : refused(r);
}
