// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package main

import "os"

// on applies an operation to a path that is known when the attack runs.
func on(op func(string) error, path func() string) func() error {
	return func() error { return op(path()) }
}

func workspace() string { return at("WORKSPACE") }

func workspaceFile() string { return fresh("file") }

// systemFile belongs to the task's user.
func systemFile() string { return at("SYSTEM") + "/file" }

func overwrite(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString("overwritten")
	return err
}
