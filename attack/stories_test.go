// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package attack

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/nomad/plugins/base"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/driver"
	"github.com/burin-labs/nomad-driver-harn/sandbox"
)

// story is an attack that is more than a program in a task: what a job says,
// what a task prepares for its next start, what the host changes meanwhile, or
// what an operator does with a hostile task. Its name begins with its group.
//
// A story is played by a scene, which judges by operations of the kernel: what
// a task could read, write or reach, and what the host has afterwards. Nothing
// that the driver says about a task counts, but for why it refused one.
type story struct {
	name, about string
	// network: the task has level network under every profile.
	network bool
	// root: only a task of user 0 could do it.
	root bool
	// unprivileged: user 0 makes no difference.
	unprivileged bool
	// once: it has nothing to do with the profile.
	once bool
	play func(s *scene)
}

// The groups of stories.
func storyGroups() [][]story {
	return [][]story{authorPlaces(), authorStories(), nextStories(), hostStories(), operatorStories(), commandLineStories(), markStories()}
}

// storiesOnly: all that is to be run, by ATTACK_RUN, are stories.
func storiesOnly() bool {
	parts := strings.Fields(os.Getenv("ATTACK_RUN"))
	return len(parts) > 0 && !slices.ContainsFunc(parts, func(part string) bool {
		return !slices.ContainsFunc([]string{"author_", "next_", "host_", "operator_"}, func(group string) bool { return strings.HasPrefix(part, group) })
	})
}

// storyProfiles are the columns of stories.
var storyProfiles = []*profile{&profiles[0], &profiles[3], &profiles[2]}

// stories plays all of them.
func stories(t *testing.T, n *nomad, p *programs, table *table) {
	node := newNode(t, n, p)
	for _, group := range storyGroups() {
		for i := range group {
			story := &group[i]
			if filter := strings.Fields(os.Getenv("ATTACK_RUN")); len(filter) > 0 &&
				!slices.ContainsFunc(filter, func(part string) bool { return strings.Contains(story.name, part) }) {
				continue
			}
			for _, profile := range storyProfiles {
				if story.once && profile != storyProfiles[0] || story.root && profile.user != "root" || story.unprivileged && profile.user == "root" {
					continue
				}
				if n.abi == 0 && !story.once {
					table.set(story.name, story.about, profile.Name, Cell{NotApplicable, "", "without Landlock file permissions decide"})
					continue
				}
				var cell Cell
				// Each in a test of its own: what it cannot prepare ends it alone.
				if !t.Run(story.name+"/"+profile.Name, func(t *testing.T) { cell = node.play(t, story, profile) }) {
					cell = Cell{Broken, "preparation", "the scene could not be set"}
				}
				table.set(story.name, story.about, profile.Name, cell)
			}
		}
	}
}

// node is what a client has on its host: its directories as an agent lays them
// out, another task, and a version of /etc and /run that is these tests' own.
type node struct {
	*nomad
	root                       string // holds the client's directories, and nothing else of Nomad's
	data, alloc, mounts, state string
	plugins                    string // where the binary of the plugin lies
	suite                      string // in a directory of the system: every task can run it
	config                     driver.Config
	victim                     *company            // another task, with secrets that every user could read
	residents                  map[string]*company // by user
	residence                  *scene              // theirs
	scenes                     int
	mutex                      sync.Mutex
	events                     map[string][]string // messages, by task
}

func newNode(t *testing.T, n *nomad, p *programs) *node {
	t.Helper()
	root := filepath.Join(n.dir, "node")
	h := &node{
		nomad: n, root: root, data: root + "/data", alloc: root + "/data/alloc", mounts: root + "/alloc_mounts", state: n.stateDir,
		config: driver.Config{Settings: sandbox.Settings{StateDir: n.stateDir, AllowRoot: true, Fallback: "warn", PidsLimit: 4096}},
		events: map[string][]string{}, residents: map[string]*company{},
	}
	for _, dir := range []string{h.root, h.data, h.alloc, h.mounts, h.data + "/client", h.data + "/server"} {
		check(t, os.MkdirAll(dir, 0o777))
		check(t, os.Chmod(dir, 0o777))
	}
	for _, file := range []string{"client/state.db", "client/secret", "server/secret"} {
		ownFile(t, filepath.Join(h.data, file), secretText)
	}
	ownFile(t, h.root+"/beside", secretText)
	self, err := os.Executable()
	check(t, err)
	h.plugins = filepath.Dir(self)

	bin := systemDir(t) + "/stories"
	check(t, os.MkdirAll(bin, 0o755))
	check(t, unix.Mount(p.dir, bin, "", unix.MS_BIND, ""))
	t.Cleanup(func() { _ = unix.Unmount(bin, unix.MNT_DETACH) })
	h.suite = bin + "/suite"
	ownSystem(t, n.dir)

	events, err := n.TaskEvents(t.Context())
	check(t, err)
	go func() {
		for e := range events {
			h.mutex.Lock()
			h.events[e.TaskID] = append(h.events[e.TaskID], fmt.Sprint(e.Message, e.Annotations))
			h.mutex.Unlock()
		}
	}()
	h.addVictim(t)
	return h
}

// ownSystem gives these tests an /etc and a /run of their own, in their mount
// namespace, with secrets at the places that are masked in every task. All of
// them could be read by every user, if permissions alone were to decide.
func ownSystem(t *testing.T, dir string) {
	etc := filepath.Join(dir, "etc")
	check(t, os.Mkdir(etc, 0o755))
	check(t, unix.Mount("tmpfs", etc, "tmpfs", 0, "mode=755"))
	if out, err := exec.Command("cp", "-a", "/etc/.", etc).CombinedOutput(); err != nil {
		t.Fatalf("copying /etc: %v\n%s", err, out)
	}
	for _, d := range []string{"ssl/private", "nomad.d"} {
		check(t, os.MkdirAll(filepath.Join(etc, d), 0o777))
		check(t, os.Chmod(filepath.Join(etc, d), 0o777))
		ownFile(t, filepath.Join(etc, d, "secret"), secretText)
	}
	ownFile(t, etc+"/shadow", secretText)
	check(t, unix.Mount(etc, "/etc", "", unix.MS_BIND, ""))
	t.Cleanup(func() { _, _ = unix.Unmount("/etc", unix.MNT_DETACH), unix.Unmount(etc, unix.MNT_DETACH) })
	check(t, unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755"))
	t.Cleanup(func() { _ = unix.Unmount("/run", unix.MNT_DETACH) })
	check(t, os.Mkdir("/run/containerd", 0o755))
	for _, socket := range []string{"/run/docker.sock", "/run/containerd/containerd.sock", "/run/ordinary.sock"} {
		serve(t, "unix", socket)
	}
}

// addVictim starts the other task.
func (h *node) addVictim(t *testing.T) {
	s := h.scene(t, &story{name: "victim"}, storyProfiles[0], h.root+"-victim")
	t.Cleanup(s.end)
	h.residence = s
	h.victim = s.company("v", taskUser) // short: the path of a socket has 108 bytes
	cfg := h.victim.task(driver.TaskConfig{Command: "/bin/sleep", Args: []string{"100000"}})
	for _, dir := range []string{cfg.AllocDir, cfg.TaskDir().Dir, cfg.TaskDir().LocalDir, cfg.TaskDir().SecretsDir, h.victim.seen, filepath.Dir(h.victim.seen)} {
		check(t, os.Chmod(dir, 0o777))
	}
	for _, dir := range []string{cfg.TaskDir().LocalDir, cfg.TaskDir().SecretsDir} {
		ownFile(t, dir+"/secret", secretText)
	}
	serve(t, "unix", cfg.TaskDir().SecretsDir+"/api.sock")
	if err := s.start(cfg); err != nil {
		t.Fatal(err)
	}
}

// configure has the driver take a configuration over, as at a restart of the
// plugin.
func (h *node) configure(t *testing.T, config *driver.Config) {
	t.Helper()
	var data []byte
	check(t, base.MsgPackEncode(&data, config))
	check(t, h.SetConfig(&base.Config{PluginConfig: data, ApiVersion: "v0.1.0"}))
}

// said are the messages of a task's events so far.
func (h *node) said(id string) string {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return strings.Join(h.events[id], "\n")
}

func (h *node) play(t *testing.T, story *story, profile *profile) Cell {
	s := h.scene(t, story, profile, filepath.Join(h.dir, "s", strconv.Itoa(h.scenes)))
	h.scenes++
	defer s.end()
	story.play(s)
	return s.cell()
}

func (h *node) scene(t *testing.T, story *story, profile *profile, dir string) *scene {
	check(t, os.MkdirAll(dir, 0o755))
	check(t, os.Chmod(dir, 0o777))
	s := &scene{node: h, t: t, story: story, profile: profile, dir: dir, markers: map[string]string{}}
	s.config = h.config
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}
