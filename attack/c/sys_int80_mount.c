// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Mounts a file system by the i386 call mount.
// control: root

#include "entries.h"

int main(void) {
	char *p = low();
	strcpy(p, "tmpfs");
	strncpy(p + 16, target("ATTACK_WORKSPACE"), 4000);
	long r = int80(21, (long)p, (long)(p + 16), (long)p, 0, 0);
	return r >= 0 ? 0 : refused(r);
}
