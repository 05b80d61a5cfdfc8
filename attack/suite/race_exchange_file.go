// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Swaps a file for a link to the outside by renameat2 while another thread opens it for writing.

package main

import (
	"os"
	"strconv"
	"strings"
)

func init() {
	attack(Attack{
		Run: func() error {
			file, link := fresh("race-file"), freshName("race-link")
			must(os.Symlink(outside()+"/write", link))
			return whileSwapping(file, link, func() error {
				f, err := os.OpenFile(file, os.O_WRONLY, 0)
				if err != nil {
					return err
				}
				defer f.Close()
				name, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(f.Fd())))
				if err == nil && !strings.HasPrefix(name, outside()) {
					return errNothing
				}
				return err
			})
		},
	})
}
