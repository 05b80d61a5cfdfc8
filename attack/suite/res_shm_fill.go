// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Fills /dev/shm, a file system in memory, with more than the task has.

package main

import "os"

func init() {
	attack(Attack{
		Alone: true,
		Run:   func() error { return fill("/dev/shm/fill") },
	})
}

func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	chunk := make([]byte, 1<<20)
	for range 3 * atInt("MEMORY_MB") {
		if _, err := f.Write(chunk); err != nil {
			return err
		}
	}
	return nil
}
