// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Watches a directory outside of every root with inotify.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run:     on(watch, outside),
		Sibling: on(watch, workspace),
	})
}

func watch(path string) error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		return err
	}
	_, err = unix.InotifyAddWatch(fd, path, unix.IN_ALL_EVENTS)
	return err
}
