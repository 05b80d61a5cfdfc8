// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes an io_uring by its x32 number.

#include "entries.h"

int main(void) {
	static char params[120];
	long r = x32(425, 1, (long)params, 0, 0);
	return r >= 0 ? 0 : refused(r);
}
