// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sqe is struct io_uring_sqe of io_uring_enter(2).
type sqe struct {
	opcode, sqeFlags uint8
	_                uint16
	fd               int32
	off, addr        uint64
	length, flags    uint32
	_                [32]byte
}

// uring carries one operation out by an io_uring of its own, and returns its
// result.
func uring(op sqe) (int, error) {
	type offsets struct{ head, tail, mask, entries, a, b, c, d, userLow, userHigh uint32 }
	var params struct {
		sqEntries, cqEntries, flags, cpu, idle, features, wq uint32
		_                                                    [3]uint32
		sq, cq                                               offsets
	}
	fd, err := call(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params)))
	if err != nil {
		return 0, err
	}
	defer unix.Close(int(fd))
	const offSQ, offCQ, offSQEs = 0, 0x8000000, 0x10000000
	mmap := func(offset int64, size int) ([]byte, error) {
		return unix.Mmap(int(fd), offset, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	}
	sq, err := mmap(offSQ, 4096)
	if err != nil {
		return 0, err
	}
	cq, err := mmap(offCQ, 4096)
	if err != nil {
		return 0, err
	}
	entries, err := mmap(offSQEs, 4096)
	if err != nil {
		return 0, err
	}
	*(*sqe)(unsafe.Pointer(&entries[0])) = op
	// Of the submission queue, c is unused: flags, dropped, array.
	*(*uint32)(unsafe.Pointer(&sq[params.sq.c])) = 0
	atomic.AddUint32((*uint32)(unsafe.Pointer(&sq[params.sq.tail])), 1)
	const getEvents = 1
	if err := do(unix.SYS_IO_URING_ENTER, fd, 1, 1, getEvents, 0, 0); err != nil {
		return 0, err
	}
	// Of the completion queue, b is where the entries are: user_data, res, flags.
	result := *(*int32)(unsafe.Pointer(&cq[params.cq.b+8]))
	if result < 0 {
		return 0, syscall.Errno(-result)
	}
	return int(result), nil
}
