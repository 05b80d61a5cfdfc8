// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// What the attacks in C share: system calls of the other entries of an x86-64
// kernel. The programs exit with 0 if the attack got through; otherwise they
// print the number of the error. A signal ends them by itself.

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int refused(long result) {
	fprintf(stderr, "errno %ld\n", -result);
	return 1;
}

// The entry for 32 bit programs. Numbers and pointers are those of i386.
static inline long int80(long nr, long a, long b, long c, long d, long e) {
	long result;
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e) : "memory", "r8", "r9", "r10", "r11");
	return (int)result;
}

// The entry for x32 programs is that of the machine: bit 30 of the number is set.
static inline long x32(long nr, long a, long b, long c, long d) {
	long result;
	register long r10 __asm__("r10") = d;
	__asm__ volatile("syscall" : "=a"(result) : "a"(nr | 0x40000000L), "D"(a), "S"(b), "d"(c), "r"(r10) : "memory", "rcx", "r11");
	return result;
}

// Memory that 32 bits can address.
static inline char *low(void) {
	char *p = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (p == MAP_FAILED) {
		perror("mmap");
		exit(2);
	}
	return p;
}

static inline const char *target(const char *name) {
	const char *value = getenv(name);
	if (!value) {
		fprintf(stderr, "%s is not set\n", name);
		exit(2);
	}
	return value;
}
