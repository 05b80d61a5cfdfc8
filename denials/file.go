// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package denials

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/audit"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
)

// FileName is the name of a task's list of denials in the allocation's log
// directory.
func FileName(task string) string { return task + ".denials.ndjson" }

// maxFile is the size in bytes of a list of denials, but for the line that
// crosses it and the last one.
const maxFile = 1<<20 - 64<<10

// OpenFile opens a file in the allocation's log directory, to append to. Tasks of other
// drivers can write to that directory: so no link is followed, and what is there must be a
// file of root's own.
func OpenFile(allocDir, file string) (*os.File, error) {
	at, err := unix.Open(allocDir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(at)
	name := filepath.Join("alloc", "logs", file)
	fd, err := unix.Openat2(at, name, &unix.OpenHow{
		Flags:   unix.O_CREAT | unix.O_RDWR | unix.O_APPEND | unix.O_CLOEXEC | unix.O_NOFOLLOW | unix.O_NONBLOCK,
		Mode:    0o644,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", plain.Name(filepath.Join(allocDir, name)), err)
	}
	f := os.NewFile(uintptr(fd), filepath.Join(allocDir, name))
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	if err == nil && (st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink != 1 || int(st.Uid) != os.Geteuid()) {
		err = errors.New("not a file of the driver's own: a task has put it there")
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", plain.Name(f.Name()), err)
	}
	return f, nil
}

// record is a line that is Harn's record as well, for who reads those.
type record struct {
	audit.Line
	*audit.Refusal
}

// appendLines adds lines to a list, as far as they fit.
func appendLines(f *os.File, lines []audit.Line) error {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if size > maxFile {
		return nil // it has its last line
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	for _, line := range lines {
		if err := encoder.Encode(record{line, line.Refusal()}); err != nil {
			return err
		}
		if size+int64(out.Len()) > maxFile {
			last := audit.Line{Task: line.Task, TaskDir: line.TaskDir, Truncated: true, Denial: audit.Denial{Time: line.Time}}
			if err := encoder.Encode(last); err != nil {
				return err
			}
			break
		}
	}
	text := plain.JSON(out.Bytes())
	if size > 0 {
		// A writer that was killed may have left half a line.
		var last [1]byte
		if _, err := f.ReadAt(last[:], size-1); err == nil && last[0] != '\n' {
			text = append([]byte{'\n'}, text...)
		}
	}
	if _, err = f.Write(text); err != nil {
		// Half a line is none. A task of another driver can write to the file as well:
		// what is cut off then is not in a list of denials anyway.
		err = errors.Join(err, f.Truncate(size))
	}
	return err
}
