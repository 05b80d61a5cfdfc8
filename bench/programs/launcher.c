// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// launcher MODE RULESET COMMAND...: enters a Landlock ruleset, or a seccomp filter,
// and executes a command. Nothing else: what the kernel asks for them.
//
// MODE is "landlock" or "filter" (one that allows everything). RULESET is a
// file: the handled rights of files, those of TCP, and the scopes, in a line;
// then for each rule its rights and path.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

struct attributes { uint64_t fs, net, scoped; };
struct __attribute__((packed)) beneath { uint64_t access; int32_t fd; };

static void fail(const char *what) {
	printf("launcher: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void landlock(const char *name) {
	struct attributes a;
	unsigned long long fs, net, scoped, access;
	char path[4096];
	FILE *f = fopen(name, "r");
	if (!f || fscanf(f, "%llu %llu %llu\n", &fs, &net, &scoped) != 3) fail(name);
	a.fs = fs, a.net = net, a.scoped = scoped;
	int set = syscall(444, &a, sizeof a, 0);
	if (set < 0) fail("landlock_create_ruleset");
	while (fscanf(f, "%llu %4095[^\n]\n", &access, path) == 2) {
		struct beneath b = {access, open(path, O_PATH | O_CLOEXEC)};
		if (b.fd < 0) continue; // it is there in the task's view only
		if (syscall(445, set, 1, &b, 0) && errno != EINVAL) fail(path);
		close(b.fd);
	}
	fclose(f);
	if (syscall(446, set, 0)) fail("landlock_restrict_self");
	close(set);
}

int main(int argc, char **argv) {
	if (argc < 4) return 2;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) fail("no_new_privs");
	if (strcmp(argv[1], "landlock") == 0) landlock(argv[2]);
	else {
		struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
		struct sock_fprog program = {1, &allow};
		if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program)) fail("seccomp");
	}
	execv(argv[3], argv + 3);
	fail(argv[3]);
}
