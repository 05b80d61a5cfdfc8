// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Attaches to a process of the host by the x32 number of ptrace, which is 521.

#include "entries.h"

int main(void) {
	long r = x32(521, 0x4206, atoi(target("ATTACK_HOST_PID")), 0, 0);
	return r >= 0 ? 0 : refused(r);
}
