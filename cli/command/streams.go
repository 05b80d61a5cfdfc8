// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/executor"
)

// streams let a command open its descriptors by name, as /dev/stderr, where it is
// another user than who made them. A pipe that has no name is opened to others: nobody
// reaches it but by a descriptor. Of a file the permissions stay as they are: what is
// written to it goes through a pipe of the command's.
type streams struct {
	ours   []*os.File // the command's ends, until it is there
	copies sync.WaitGroup

	lock sync.Mutex // for what follows
	err  error
}

// newStreams puts the command's end of a pipe in the place of each file to write to.
func newStreams(std *[3]*os.File, owner executor.User) (s *streams, err error) {
	s = &streams{}
	if os.Geteuid() != 0 || owner.UID == 0 {
		return s, nil
	}
	defer func() {
		if err != nil {
			s.started()
		}
	}()
	type inode struct{ device, number uint64 }
	of := map[inode]*os.File{}
	for fd, f := range std {
		var st unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &st); err != nil {
			return s, fmt.Errorf("descriptor %d: fstat: %w", fd, err)
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFIFO:
			if err := openToOthers(f, fd == 0); err != nil {
				return s, fmt.Errorf("descriptor %d: %w", fd, err)
			}
		case unix.S_IFREG:
			if fd == 0 {
				continue // what the command leaves of it is for whoever reads it next
			}
			w := of[inode{st.Dev, st.Ino}]
			if w == nil {
				if w, err = s.copyTo(f, owner); err != nil {
					return s, fmt.Errorf("descriptor %d: making a pipe for it: %w", fd, err)
				}
				of[inode{st.Dev, st.Ino}] = w
			}
			std[fd] = w
		}
	}
	return s, nil
}

// openToOthers has any user who has a pipe open it again, unless the pipe has a name.
func openToOthers(f *os.File, input bool) error {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil {
		return fmt.Errorf("fstatfs: %w", err)
	}
	if fs.Type != unix.PIPEFS_MAGIC {
		return nil
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	more := os.FileMode(0o022)
	if input {
		more = 0o044
	}
	if err := f.Chmod(info.Mode().Perm() | more); err != nil && !errors.Is(err, os.ErrPermission) {
		return err
	}
	return nil // somebody else's, and root has no right to change it: it stays as it was
}

// copyTo returns the command's end of a pipe whose contents go to a file.
func (s *streams) copyTo(f *os.File, owner executor.User) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(w.Chown(int(owner.UID), int(owner.GID)), w.Chmod(0o200)); err != nil {
		return nil, errors.Join(err, r.Close(), w.Close())
	}
	s.ours = append(s.ours, w)
	s.copies.Go(func() {
		_, err := io.Copy(f, r)
		r.Close() // the command is to notice that nobody takes it any more
		if err != nil {
			s.lock.Lock()
			s.err = errors.Join(s.err, err)
			s.lock.Unlock()
		}
	})
	return w, nil
}

// started leaves the ends to the command alone, so that the copies see theirs.
func (s *streams) started() {
	for _, f := range s.ours {
		f.Close()
	}
	s.ours = nil
}

// wait returns when all that the command has written is in the files.
func (s *streams) wait() error {
	s.started()
	s.copies.Wait()
	s.lock.Lock()
	defer s.lock.Unlock()
	if s.err != nil {
		return fmt.Errorf("writing what the command says: %w", s.err)
	}
	return nil
}
