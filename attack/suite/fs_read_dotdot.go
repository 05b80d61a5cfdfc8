// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Reads a file outside of every root by a path of ".." from the workspace.

package main

import (
	"path/filepath"
	"strings"
)

func init() {
	attack(Attack{
		Run: func() error {
			up := strings.Repeat("../", strings.Count(at("WORKSPACE"), "/"))
			return readSecret(at("WORKSPACE") + "/" + up + strings.TrimPrefix(secret(), "/"))
		},
		Sibling: func() error {
			file := workspaceFile()
			return readSecret(filepath.Dir(file) + "/../" + filepath.Base(filepath.Dir(file)) + "/" + filepath.Base(file))
		},
	})
}
