// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/plain"
)

// rotated is a log in files with numbers, of which the last one grows. It never
// opens another file than one that is, by its name, in its directory.
type rotated struct {
	dir      int // a descriptor
	name     string
	maxFiles int
	maxSize  int64 // bytes

	file   int // a descriptor
	number int
	size   int64 // of the file, in bytes
}

// openLast goes on where an earlier start of the task has ended.
func (r *rotated) openLast() error {
	numbers, err := r.numbers()
	if err != nil {
		return err
	}
	last := 0
	for _, n := range numbers {
		last = max(last, n)
	}
	for _, n := range numbers {
		if n <= last-r.maxFiles {
			_ = unix.Unlinkat(r.dir, r.fileName(n), 0)
		}
	}
	return r.open(last, 0)
}

// numbers are those of the files that there are.
func (r *rotated) numbers() ([]int, error) {
	again, err := unix.Openat(r.dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	dir := os.NewFile(uintptr(again), ".")
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var numbers []int
	for _, name := range names {
		digits, ok := strings.CutPrefix(name, r.name)
		if n, err := strconv.Atoi(digits); ok && err == nil && n >= 0 && r.fileName(n) == name {
			numbers = append(numbers, n)
		}
	}
	return numbers, nil
}

func (r *rotated) fileName(number int) string { return r.name + strconv.Itoa(number) }

// open makes the file with a number the last one.
func (r *rotated) open(number, flags int) error {
	name := r.fileName(number)
	// O_NONBLOCK: a FIFO in its place must not hold this process up.
	fd, err := unix.Openat(r.dir, name, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC|flags, 0o644)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.EISDIR) {
		err = errForeign
	}
	if err != nil {
		return fmt.Errorf("%s: %w", plain.Name(name), err)
	}
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	if err == nil && (st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink != 1) {
		err = errForeign
	}
	if err != nil {
		unix.Close(fd)
		return fmt.Errorf("%s: %w", plain.Name(name), err)
	}
	if r.file > 0 {
		unix.Close(r.file)
	}
	r.file, r.number, r.size = fd, number, st.Size
	return nil
}

// write appends. A line is in one file if it can be.
func (r *rotated) write(p []byte) {
	for len(p) > 0 {
		n := r.fits(p)
		if n == 0 {
			if err := r.next(); err != nil {
				return
			}
			continue
		}
		wrote, err := unix.Write(r.file, p[:n])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return
		}
		r.size += int64(wrote)
		p = p[wrote:]
	}
}

// fits is how much of p is to go to the file that there is.
func (r *rotated) fits(p []byte) int {
	room := max(0, r.maxSize-r.size)
	if int64(len(p)) <= room {
		return len(p)
	}
	if end := bytes.LastIndexByte(p[:room], '\n'); end >= 0 {
		return end + 1
	}
	if r.size > 0 && int64(len(p)) <= r.maxSize {
		return 0 // it fits into the next one
	}
	return int(room)
}

// skipped is how many names that are taken are passed over for the next file.
const skippedNames = 100

// next begins another file, and removes the oldest.
func (r *rotated) next() error {
	for n := r.number + 1; ; n++ {
		err := r.open(n, unix.O_EXCL)
		if errors.Is(err, unix.EEXIST) && n < r.number+skippedNames {
			continue
		}
		if err != nil {
			return err
		}
		break
	}
	_ = unix.Unlinkat(r.dir, r.fileName(r.number-r.maxFiles), 0)
	return nil
}
