// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package attack

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/driver"
)

// startRace is an attack on the start of a task: a name that the driver looks
// up is exchanged for a link to the outside, as fast as the kernel does it,
// while tasks are started. All of the attacks read a secret, or run a program,
// through what got in.
type startRace struct {
	name, about string
	// link is what the name is exchanged for, with outside for %s.
	link string
	// config is the task; name is what is exchanged, below the task's directory.
	config func(name string) driver.TaskConfig
	// file: the name is a file, not a directory.
	file bool
	// place is where the name lies, below the task's directory.
	place string
}

// copySecret copies what is at a path to the workspace, if it can.
func copySecret(path string) []string {
	return []string{"-c", "cat " + path + " > copied 2> /dev/null; :"}
}

var startRaces = []startRace{
	{
		name: "start_workspace_root", about: "Swaps a workspace root for a link to the outside while the task starts.",
		link: "%s", place: "local/swap",
		config: func(name string) driver.TaskConfig {
			return driver.TaskConfig{Command: "/bin/sh", Args: copySecret("swap/secret"), WorkDir: "local", Policy: profiles[0].policy([]string{"local", name}, nil)}
		},
	},
	{
		name: "start_read_only_root", about: "Swaps a read-only root for a link to the outside while the task starts.",
		link: "%s", place: "local/swap",
		config: func(name string) driver.TaskConfig {
			return driver.TaskConfig{Command: "/bin/sh", Args: copySecret("swap/secret"), WorkDir: "local", Policy: profiles[0].policy([]string{"local"}, []string{name})}
		},
	},
	{
		name: "start_root_parent", about: "Swaps the directory above a workspace root for a link to the outside while the task starts.",
		link: "%s", place: "local/swap",
		config: func(name string) driver.TaskConfig {
			return driver.TaskConfig{Command: "/bin/sh", Args: copySecret("swap/below/secret"), WorkDir: "local", Policy: profiles[0].policy([]string{"local", name + "/below"}, nil)}
		},
	},
	{
		name: "start_work_dir", about: "Swaps the working directory for a link to the outside while the task starts.",
		link: "%s", place: "local/swap",
		config: func(name string) driver.TaskConfig {
			return driver.TaskConfig{Command: "/bin/sh", Args: []string{"-c", "cat secret > $NOMAD_TASK_DIR/copied 2> /dev/null; :"}, WorkDir: name}
		},
	},
	{
		name: "start_tmp", about: "Swaps the directory that becomes /tmp for a link to the outside while the task starts.",
		link: "%s", place: "tmp",
		config: func(string) driver.TaskConfig {
			return driver.TaskConfig{Command: "/bin/sh", Args: copySecret("/tmp/secret"), WorkDir: "local"}
		},
	},
	{
		name: "start_command", about: "Swaps the program of a task for a link to one outside while the task starts.",
		link: "%s/program", place: "local/swap", file: true,
		config: func(name string) driver.TaskConfig {
			return driver.TaskConfig{Command: name, WorkDir: "local"}
		},
	},
}

// starts runs the races against the start of tasks.
func starts(t *testing.T, n *nomad, table *table) {
	if n.abi == 0 {
		t.Skip("the profile worktree of these tasks is what Landlock adds to")
	}
	outside := filepath.Join(n.dir, "host")
	check(t, os.MkdirAll(outside+"/below", 0o777))
	ownFile(t, outside+"/below/secret", secretText)
	check(t, os.WriteFile(outside+"/program", []byte("#!/bin/sh\necho "+secretText+" > copied\n"), 0o755))
	rounds, err := strconv.Atoi(races(25))
	check(t, err)
	for i := range startRaces {
		if r := &startRaces[i]; strings.Contains(r.name, os.Getenv("ATTACK_RUN")) {
			table.set(r.name, r.about, profiles[0].Name, r.run(t, n, outside, rounds))
		}
	}
}

func (r *startRace) run(t *testing.T, n *nomad, outside string, rounds int) Cell {
	cfg := n.task(taskUser, driver.TaskConfig{Command: "/bin/true"}, true)
	dir := cfg.TaskDir().Dir
	check(t, os.Chmod(cfg.TaskDir().LocalDir, 0o777))
	// On the host, beside what the task sees; what it shows there is the same.
	name, link := filepath.Join(dir, r.place), filepath.Join(dir, filepath.Dir(r.place), "swap-link")
	_ = os.Remove(name)
	if r.file {
		check(t, os.WriteFile(name, []byte("#!/bin/sh\n:\n"), 0o755))
	} else {
		check(t, os.MkdirAll(name+"/below", 0o777))
		check(t, os.Chmod(name, 0o777))
	}
	check(t, unix.Lchown(name, taskUID, taskUID))
	check(t, os.Symlink(fmt.Sprintf(r.link, outside), link))
	check(t, unix.Lchown(link, taskUID, taskUID)) // as a task would make it
	config := r.config(r.place)
	check(t, cfg.EncodeConcreteDriverConfig(&config))

	swap := func() error {
		return unix.Renameat2(unix.AT_FDCWD, name, unix.AT_FDCWD, link, unix.RENAME_EXCHANGE)
	}
	var stop atomic.Bool
	swapped := make(chan int)
	go func() {
		count := 0
		for !stop.Load() {
			if swap() == nil {
				count++
			}
			// The name is right more often than not, so that tasks get to start;
			// for how long is not to be foreseen.
			if count%2 == 0 {
				time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
			}
		}
		swapped <- count
	}()
	started, refusals, stolen := 0, map[string]bool{}, false
	id := cfg.ID
	copied := filepath.Join(cfg.TaskDir().LocalDir, "copied")
	for i := range rounds {
		cfg.ID = id + strconv.Itoa(i)
		_, _, err := n.StartTask(cfg)
		if err != nil {
			refusals[err.Error()] = true
			continue
		}
		started++
		if _, err := n.wait(t, cfg.ID, limit); err != nil {
			t.Error(err)
		}
		check(t, n.DestroyTask(cfg.ID, true))
		data, _ := os.ReadFile(copied)
		stolen = stolen || strings.Contains(string(data), secretText)
		_ = os.Remove(copied)
	}
	stop.Store(true)
	count := <-swapped
	detail := fmt.Sprintf("%d starts, %d of them refused, %d swaps", rounds, rounds-started, count)
	switch {
	case stolen:
		return Cell{Escaped, "", detail}
	case count < rounds:
		return Cell{NotApplicable, "", "the attacker never got to swap: " + detail}
	case started == 0:
		return Cell{Broken, "", fmt.Sprintf("no task started, although the name is right half of the time: %s: %v", detail, refusals)}
	}
	return Cell{Refused, "held", detail}
}
