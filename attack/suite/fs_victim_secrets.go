// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Lists the secrets directory of another task of the same user.

package main

func init() {
	attack(Attack{
		Run:  func() error { return listDir(at("VICTIM_TASK_DIR") + "/secrets") },
		Root: true,
	})
}
