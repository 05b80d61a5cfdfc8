// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes any system call at all by its x32 number.

#include "entries.h"

int main(void) {
	long r = x32(39, 0, 0, 0, 0);
	return r > 0 ? 0 : refused(r);
}
