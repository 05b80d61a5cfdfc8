// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/burin-labs/nomad-driver-harn/cgroup"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/sandbox"

	"github.com/hashicorp/nomad/plugins/drivers"
)

// A dynamic user is one task's: whoever else has it reads that task's secrets, and
// signals its processes. Nomad does not say whether it or the job has named a
// task's user, and the owner of a task's directory is whom either of them named.
// So what counts is that nobody else has the user: a task that the driver knows
// or is starting, or one of any driver whose directory belongs to that user, for
// as long as Nomad may start it again. That holds as well where Nomad itself gives
// a user twice: it has forgotten, after a restart, whom it gave before.

// holder is a task that has a user.
type holder struct {
	allocID, task string
	uid           uint32
	dynamic       bool
	name          string // of the user
}

func holderOf(cfg *drivers.TaskConfig, user string, uid uint32) holder {
	return holder{cfg.AllocID, cfg.Name, uid, sandbox.IsDynamic(user), user}
}

// excludes reports whether two tasks must not run at the same time. Those of the
// same named user may.
func (h holder) excludes(other holder) bool {
	return h.uid == other.uid && (h.dynamic || other.dynamic) && (h.allocID != other.allocID || h.task != other.task)
}

func (h holder) taken(allocID, task string) error {
	return fmt.Errorf("user: %s is UID %d, that of task %q of allocation %q, which has it as a dynamic user: leave user out of the job, so that Nomad gives the task one of its own; if the job has none, Nomad has given this one twice, and another allocation will get another", plain.Quote(h.name), h.uid, task, allocID)
}

// claimUser keeps a user from being given to another task, until the task is known
// or release is called.
func (s *taskStore) claimUser(id string, h holder) (release func(), err error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	for _, other := range s.users {
		if h.excludes(other) {
			return nil, h.taken(other.allocID, other.task)
		}
	}
	for _, known := range s.handles {
		if other := holderOf(known.config, known.state.UserName, known.task.User().UID); h.excludes(other) {
			return nil, h.taken(other.allocID, other.task)
		}
	}
	s.users[id] = h
	return func() {
		s.lock.Lock()
		defer s.lock.Unlock()
		delete(s.users, id)
	}, nil
}

// claimUser refuses a task whose user is another task's dynamic one.
func (d *Driver) claimUser(cfg *drivers.TaskConfig, p *prepared) (release func(), err error) {
	h := holderOf(cfg, p.state.UserName, p.Plan.Confinement.User.UID)
	if release, err = d.tasks.claimUser(cfg.ID, h); err != nil {
		return nil, err
	}
	if h.dynamic {
		if err := h.checkOthers(p.state.TaskDir, &p.state.Cgroup); err != nil {
			release()
			return nil, err
		}
	}
	return release, nil
}

// checkOthers looks for other tasks in the directory where Nomad mounts those of
// all tasks, of which the task's own is one.
func (h holder) checkOthers(taskDir string, group *cgroup.Group) error {
	all := filepath.Dir(taskDir)
	names, err := readNames(all)
	if err != nil {
		return fmt.Errorf("looking for other tasks with the user: %w", err)
	}
	for _, name := range names {
		dir := filepath.Join(all, name)
		const uuidLength = 36
		if dir == taskDir || len(name) < uuidLength+2 || name[uuidLength] != '-' {
			continue
		}
		info, err := os.Lstat(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue // its allocation was removed meanwhile
		}
		if err != nil {
			return fmt.Errorf("looking for other tasks with the user: %w", err)
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok || st.Uid != h.uid {
			continue
		}
		if allocID, task := name[:uuidLength], name[uuidLength+1:]; mayRun(group, allocID, task, h.uid) {
			return h.taken(allocID, task)
		}
	}
	return nil
}

func readNames(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// mayRun reports whether another task runs, or may be started again: by its cgroup,
// and where there are no cgroups, by whether any process has its user.
func mayRun(group *cgroup.Group, allocID, task string, uid uint32) bool {
	if kept, known := group.Kept(allocID, task); known {
		return kept
	}
	return hasProcesses(uid)
}

// hasProcesses reports whether a process of the user is there, or whether that
// cannot be told.
func hasProcesses(uid uint32) bool {
	names, err := readNames("/proc")
	if err != nil {
		return true
	}
	for _, name := range names {
		if _, err := strconv.Atoi(name); err != nil {
			continue
		}
		info, err := os.Stat(filepath.Join("/proc", name))
		if err != nil {
			continue // it has ended
		}
		if st, ok := info.Sys().(*syscall.Stat_t); !ok || st.Uid == uid {
			return true
		}
	}
	return false
}
