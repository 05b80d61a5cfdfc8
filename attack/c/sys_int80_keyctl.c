// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Reads its keyrings by the i386 call keyctl.

#include "entries.h"

int main(void) {
	long r = int80(288, 0, -4, 1, 0, 0);
	return r >= 0 ? 0 : refused(r);
}
