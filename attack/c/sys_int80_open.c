// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Opens a file outside of every root by the i386 call open.

#include "entries.h"

int main(void) {
	char *path = low();
	strncpy(path, target("ATTACK_SECRET"), 4000);
	long r = int80(5, (long)path, 0, 0, 0, 0);
	return r >= 0 ? 0 : refused(r);
}
