// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Changes to a 32 bit code segment by a far return, and makes a system call from there.

#include "entries.h"

int main(void) {
	// mov $20, %eax; int $0x80; push $0x33; push $back; lret: in 32 bit code.
	char *code = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	char *stack = low() + 32768;
	if (code == MAP_FAILED) { perror("mmap"); return 2; }
	static const unsigned char in32[] = {0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xcb};
	memcpy(code, in32, sizeof in32);
	long result;
	__asm__ volatile(
		"mov %%rsp, %%r15\n mov %[stack], %%rsp\n"
		"sub $8, %%rsp\n lea 1f(%%rip), %%rax\n mov %%eax, (%%rsp)\n movl $0x33, 4(%%rsp)\n"
		"mov %[code], %%rax\n pushq $0x23\n push %%rax\n lretq\n"
		"1: mov %%r15, %%rsp\n"
		: "=&a"(result) : [stack] "r"(stack), [code] "r"(code) : "memory", "r15", "r8", "r9", "r10", "r11", "rcx", "rdx");
	result = (int)result;
	return result > 0 ? 0 : refused(result);
}
