// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Exempts itself from the kernel's out of memory killer.

package main

import "os"

func init() {
	attack(Attack{
		Root: true,
		Run:  func() error { return os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0) },
	})
}
