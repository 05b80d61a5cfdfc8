// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"errors"

	"golang.org/x/sys/unix"
)

// whileChanging tries an operation again and again, while another thread does
// something else all the time.
func whileChanging(change func(), op func() error) error {
	stop := make(chan bool)
	defer close(stop)
	go func() {
		for {
			select {
			case <-stop:
				return
			default:
				change()
			}
		}
	}()
	err := errNothing
	for range atInt("RACES") {
		switch e := op(); {
		case e == nil:
			return nil
		case !errors.Is(e, errNothing):
			err = e
		}
	}
	return err
}

// whileSwapping is whileChanging, where the other thread exchanges two names.
func whileSwapping(a, b string, op func() error) error {
	return whileChanging(func() {
		_ = unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
	}, op)
}
