// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Swaps a directory of the workspace for a link to the outside while a thread opens a file through it.

package main

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run: func() error {
			dir, link := freshName("swap"), freshName("swap-link")
			must(os.Mkdir(dir, 0o777))
			must(os.WriteFile(dir+"/secret", []byte("own"), 0o666))
			must(os.Symlink(outside(), link))
			stop := make(chan bool)
			defer close(stop)
			go func() {
				for {
					select {
					case <-stop:
						return
					default:
						_ = unix.Renameat2(unix.AT_FDCWD, dir, unix.AT_FDCWD, link, unix.RENAME_EXCHANGE)
					}
				}
			}()
			err := errNothing
			for range atInt("RACES") {
				if e := readSecret(dir + "/secret"); e == nil {
					return nil
				} else if !errors.Is(e, errNothing) {
					err = e
				}
			}
			return err
		},
	})
}
