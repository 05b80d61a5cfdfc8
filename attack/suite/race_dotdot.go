// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Moves a directory up while another thread opens a path of ".." in it.

package main

import (
	"os"
	"strings"
)

func init() {
	attack(Attack{
		Run: func() error {
			deep, shallow := freshName("race-a"), freshName("race-b")
			must(os.MkdirAll(deep+"/1/2/3/4/5/6/7/8/x", 0o777))
			inner := deep + "/1/2/3/4/5/6/7/8/x"
			path := inner + strings.Repeat("/..", 9+strings.Count(deep, "/")) + secret()
			err := whileChanging(func() {
				_ = os.Rename(inner, shallow)
				_ = os.Rename(shallow, inner)
			}, func() error { return readSecret(path) })
			if err != nil && at("CONTROL") == "1" {
				return readSecret(path)
			}
			return err
		},
	})
}
