// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes an io_uring by int 0x80.

#include "entries.h"

int main(void) {
	long r = int80(425, 1, (long)low(), 0, 0, 0);
	return r >= 0 ? 0 : refused(r);
}
