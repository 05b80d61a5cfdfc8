// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

//go:build cgo

package executor

import "os"

// loaderMounts are for a program that was built with cgo, as tests are: it is
// started by a loader, which looks for libraries. The driver is built without.
func loaderMounts() (mounts []Mount) {
	for _, dir := range []string{"/lib", "/lib64", "/nix/store", "/usr"} {
		m := Mount{Type: Bind, Source: dir, Target: dir, Create: true, Optional: true, ReadOnly: true}
		if target, err := os.Readlink(dir); err == nil {
			m.Type, m.Source = Symlink, target
		}
		mounts = append(mounts, m)
	}
	return mounts
}
