// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// work OPERATION TIME [FILE]: does an operation for TIME milliseconds and
// prints how many nanoseconds one takes: the median of short whiles, since what
// the machine does besides comes in bursts.
// work stamp: prints CLOCK_MONOTONIC, in nanoseconds, as its first act.
// work time COMMAND...: prints how many nanoseconds a command takes.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void fail(const char *what) {
	fprintf(stderr, "work: %s: %s\n", what, strerror(errno));
	printf("work: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int ascending(const void *a, const void *b) {
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static const char *file;
static char block[4096];
static int reading;

// shift holds one more file open, up to 32 of them. The kernel charges what it
// allocates to a cgroup by the page: an operation that crosses the end of one, back
// and forth, takes a tenth more, and whether it does hangs on all that was allocated
// before. So most whiles do not.
static void shift(void) {
	static int held[32];
	static size_t count;
	if (count == sizeof held / sizeof *held)
		while (count > 0) close(held[--count]);
	if ((held[count++] = open(".", O_RDONLY | O_CLOEXEC)) < 0) fail(".");
}

static void do_getpid(void) { syscall(SYS_getpid); }
static void do_open(void) {
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0) fail(file);
	close(fd);
}
static void do_stat(void) {
	struct stat st;
	if (stat(file, &st)) fail(file);
}
static void do_read(void) {
	if (pread(reading, block, sizeof block, 0) != sizeof block) fail(file);
}
static void spawn(char **command) {
	int status;
	pid_t child = fork();
	if (child < 0) fail("fork");
	if (child == 0) {
		execv(command[0], command);
		fail(command[0]);
	}
	if (waitpid(child, &status, 0) < 0 || status != 0) fail(command[0]);
}
static void do_exec(void) {
	char *command[] = {(char *)file, "nothing", NULL};
	spawn(command);
}

int main(int argc, char **argv) {
	int64_t began = now();
	if (argc == 2 && strcmp(argv[1], "nothing") == 0) return 0;
	if (argc == 2 && strcmp(argv[1], "stamp") == 0) {
		printf("%lld\n", (long long)began);
		return 0;
	}
	if (argc > 2 && strcmp(argv[1], "time") == 0) {
		spawn(argv + 2);
		printf("%lld\n", (long long)(now() - began));
		return 0;
	}
	static const struct { const char *name; void (*act)(void); } operations[] = {
		{"getpid", do_getpid}, {"open", do_open}, {"stat", do_stat}, {"read", do_read}, {"exec", do_exec},
	};
	file = argc > 3 ? argv[3] : "";
	for (size_t i = 0; argc > 2 && i < sizeof operations / sizeof *operations; i++) {
		if (strcmp(argv[1], operations[i].name) != 0) continue;
		if (strcmp(argv[1], "read") == 0 && (reading = open(file, O_RDONLY)) < 0) fail(file);
		enum { most = 1 << 16 };
		static double taken[most];
		int64_t limit = atoll(argv[2]) * 1000000, last;
		int count = 0;
		operations[i].act(); // what is done once only
		// The clock is looked at rarely.
		int64_t chunk = operations[i].act == do_exec ? 4 : 256;
		began = now();
		do {
			shift();
			int64_t from = now();
			for (int64_t j = 0; j < chunk; j++) operations[i].act();
			last = now();
			taken[count++] = (double)(last - from) / chunk;
		} while (last - began < limit && count < most);
		qsort(taken, count, sizeof *taken, ascending);
		printf("%.3f\n", taken[count / 2]);
		return 0;
	}
	fprintf(stderr, "usage: work OPERATION MILLISECONDS [FILE]\n");
	return 2;
}
