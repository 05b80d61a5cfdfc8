// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package meter

import (
	"bytes"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/cgroup"
)

// idleWatch tells whether a task has used anything since it was last asked, from
// two files that are kept open: to read one costs a tenth of opening, reading
// and closing it. Most tasks of a node use nothing for most of the time.
type idleWatch struct{ files []watchedFile }

type watchedFile struct {
	fd   int
	text []byte // as it was last read
}

// watching is how many files are watched. A fork copies all descriptors,
// and what starts tasks needs some: only these two of a task are kept open, and
// no more than half of what may be.
var watching atomic.Int64

var mostWatched = sync.OnceValue(func() int64 {
	var limit unix.Rlimit // the Go runtime has raised it to the hard limit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return int64(min(limit.Cur, 1<<20) / 2)
})

// open opens the files that move whenever any other one does. It opens none if
// one is missing, or if too many are open.
func (w *idleWatch) open(g *cgroup.Group) {
	var paths []string
	if unified, v2 := g.Paths[""]; v2 {
		paths = []string{unified + "/cpu.stat", unified + "/memory.current"}
	} else if g.Paths["cpuacct"] != "" && g.Paths["memory"] != "" {
		paths = []string{g.Paths["cpuacct"] + "/cpuacct.usage", g.Paths["memory"] + "/memory.usage_in_bytes"}
	}
	for _, path := range paths {
		fd := -1
		if watching.Load() < mostWatched() {
			fd, _ = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
		if fd < 0 {
			w.close()
			return
		}
		watching.Add(1)
		w.files = append(w.files, watchedFile{fd: fd})
	}
}

func (w *idleWatch) close() {
	for _, f := range w.files {
		_ = unix.Close(f.fd)
		watching.Add(-1)
	}
	w.files = nil
}

// sinceLast reports whether the task has used nothing since this was last asked. It
// is not known if no files are open.
func (w *idleWatch) sinceLast(r *reader) bool {
	idle := len(w.files) > 0
	for i := range w.files {
		f := &w.files[i]
		// The kernel hands out all of such a file at once.
		n, err := unix.Pread(f.fd, r.buffer[:], 0)
		if err != nil || n <= 0 {
			f.text, idle = nil, false
			continue
		}
		if text := r.buffer[:n]; !bytes.Equal(f.text, text) {
			f.text, idle = append(f.text[:0], text...), false
		}
	}
	return idle
}
