// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"

	"github.com/burin-labs/nomad-driver-harn/policy"
)

// events subscribes to the tasks' events.
func (h *harness) events() <-chan *drivers.TaskEvent {
	h.t.Helper()
	events, err := h.TaskEvents(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond) // until the server has subscribed
	return events
}

// confined are the events that say how a task is confined: the notes, and what
// confines it.
func (h *harness) confined(events <-chan *drivers.TaskEvent, cfg *drivers.TaskConfig) string {
	h.t.Helper()
	notes := ""
	for end := time.After(10 * time.Second); ; {
		select {
		case event := <-events:
			switch {
			case event.TaskID != cfg.ID:
			case strings.HasPrefix(event.Message, "Notes: "):
				notes = event.Message
			case strings.HasPrefix(event.Message, "Confined: "):
				return notes + event.Message
			}
		case <-end:
			h.t.Fatal("no event")
		}
	}
}

// runAs runs a script as a user, with workspace roots and a volume at /shared, and
// returns what it prints and the task's event.
func (h *harness) runAs(events <-chan *drivers.TaskEvent, user, script string, roots []string, volume string) (out, event string) {
	h.t.Helper()
	config := sh(script + "\necho end")
	config.Policy = &policy.Policy{WorkspaceRoots: append([]string{"local"}, roots...)}
	cfg := h.task(config)
	cfg.User = user
	if volume != "" {
		cfg.Mounts = []*drivers.MountConfig{{HostPath: volume, TaskPath: "/shared"}}
	}
	h.start(cfg)
	h.wait(cfg.ID)
	return strings.TrimSuffix(h.log(cfg, "stdout", "end\n"), "end\n"), h.confined(events, cfg)
}

// owned makes a directory with an owner and a mode.
func (h *harness) owned(name string, uid, gid int, mode os.FileMode) string {
	h.t.Helper()
	dir := filepath.Join(filepath.Dir(h.config.StateDir), name)
	check(h.t, os.Mkdir(dir, 0o700))
	check(h.t, os.Chown(dir, uid, gid))
	check(h.t, os.Chmod(dir, mode))
	return dir
}

// hostUsers adds users and groups to the host's, until the end of the test.
func hostUsers(t *testing.T, passwd, group string) {
	t.Helper()
	for file, lines := range map[string]string{"/etc/passwd": passwd, "/etc/group": group} {
		f, err := os.OpenFile(bindOver(t, file), os.O_APPEND|os.O_WRONLY, 0)
		check(t, err)
		_, err = f.WriteString(lines)
		check(t, err)
		check(t, f.Close())
	}
}

// Where a root belongs to somebody else, the event says whose it is, and who the
// task is; its owner can write, and is told nothing.
func TestRootsOfOthers(t *testing.T) {
	h := newHarness(t, nil)
	hostUsers(t, "harn-owner:x:7001:7001::/:/bin/sh\n", "harn-owner:x:7001:\n")
	events := h.events()
	root := h.owned("root", 7001, 7001, 0o755)
	open := h.owned("open", 7001, 7001, 0o777)
	repository := h.owned("repository", 7001, 7001, 0o777)
	check(t, os.Mkdir(repository+"/.git", 0o755))
	const remedy = `name a user of the host that may, by user = "..."`
	for _, tc := range []struct {
		name, user, root, prints string
		says                     []string
	}{
		{"dynamic", "nomad-80771", root, "refused\n", []string{`"` + root + `" belongs to "harn-owner" (user 7001), mode 0755`, `the task runs as "nomad-80771" (user 80771), which cannot write there`, remedy}},
		{"named", "nobody", root, "refused\n", []string{`"` + root + `" belongs to "harn-owner" (user 7001)`, `the task runs as "nobody" (user 65534), which cannot write there`, remedy}},
		{"owner", "harn-owner", root, "written\n", nil},
		{"open", "nomad-80772", open, "written\n", nil},
		{"repository", "nomad-80773", repository, "written\n", []string{`"` + repository + `" belongs to "harn-owner" (user 7001)`, `the task runs as "nomad-80773" (user 80773)`, "dubious ownership", remedy}},
		{"owner of the repository", "harn-owner", repository, "written\n", nil},
	} {
		out, event := h.runAs(events, tc.user, "touch "+tc.root+"/f 2> /dev/null && echo written && rm -f "+tc.root+"/f || echo refused", []string{tc.root}, "")
		if out != tc.prints {
			t.Errorf("%s: it printed %q, want %q", tc.name, out, tc.prints)
		}
		for _, text := range tc.says {
			if !strings.Contains(event, text) {
				t.Errorf("%s: the event %q does not say %q", tc.name, event, text)
			}
		}
		if tc.says == nil && strings.Contains(event, "belongs to") {
			t.Errorf("%s: the event says %q", tc.name, event)
		}
	}
}

// Where a read-only root or volume is closed to the task's user, the event says so.
func TestReadOnlyRootsOfOthers(t *testing.T) {
	h := newHarness(t, nil)
	hostUsers(t, "harn-owner:x:7001:7001::/:/bin/sh\n", "harn-owner:x:7001:\n")
	events := h.events()
	closed, open := h.owned("closed", 7001, 7001, 0o700), h.owned("open", 7001, 7001, 0o755)
	for _, tc := range []struct {
		name, user, root string
		volume, reads    bool
	}{
		{"closed", "nomad-80774", closed, false, false},
		{"closed, by its owner", "harn-owner", closed, false, true},
		{"open", "nomad-80775", open, false, true},
		{"a volume that is closed", "nomad-80776", closed, true, false},
		{"a volume that is open", "nomad-80777", open, true, true},
	} {
		config := sh("ls " + tc.root + " > /dev/null 2>&1 && echo reads || echo refused; echo end")
		what := fmt.Sprintf("read_only_roots: %q", tc.root)
		config.Policy = &policy.Policy{WorkspaceRoots: []string{"local"}}
		if !tc.volume {
			config.Policy.ReadOnlyRoots = []string{tc.root}
		}
		cfg := h.task(config)
		cfg.User = tc.user
		if tc.volume {
			cfg.Mounts = []*drivers.MountConfig{{HostPath: tc.root, TaskPath: tc.root, Readonly: true}}
			what = fmt.Sprintf("volume_mount: destination %q", tc.root)
		}
		h.start(cfg)
		h.wait(cfg.ID)
		if want := map[bool]string{true: "reads\nend\n", false: "refused\nend\n"}[tc.reads]; h.log(cfg, "stdout", "end\n") != want {
			t.Errorf("%s: it printed %q, want %q", tc.name, h.log(cfg, "stdout", "end\n"), want)
		}
		event := h.confined(events, cfg)
		if says := strings.Contains(event, what+` belongs to "harn-owner" (user 7001), mode 0700: the task runs as "nomad-8077`) && strings.Contains(event, "cannot read there"); says == tc.reads {
			t.Errorf("%s: the event says %q", tc.name, event)
		}
	}
}

// A file of Nomad's that the task's user cannot read, as a template with perms = "600"
// makes it, is named in the event.
func TestFilesThatAreClosedToTheTask(t *testing.T) {
	h := newHarness(t, nil)
	events := h.events()
	for i, tc := range []struct {
		user, dir string
		mode      os.FileMode
		reads     bool
	}{
		{"nomad-80778", "local", 0o600, false},
		{"nomad-80779", "secrets", 0o400, false},
		{"nobody", "local", 0o640, false},
		{"nomad-80780", "local", 0o644, true},
	} {
		config := sh("cat " + tc.dir + "/key 2> /dev/null || echo refused; echo end")
		config.Policy = &policy.Policy{WorkspaceRoots: []string{tc.dir}}
		cfg := h.task(config)
		cfg.User = tc.user
		key := filepath.Join(cfg.TaskDir().Dir, tc.dir, "key")
		check(t, os.WriteFile(key, []byte("a key\n"), tc.mode))
		check(t, os.Chmod(key, tc.mode))
		check(t, os.Symlink("key", filepath.Join(filepath.Dir(key), "a link")))
		h.start(cfg)
		h.wait(cfg.ID)
		if want := map[bool]string{true: "a key\nend\n", false: "refused\nend\n"}[tc.reads]; h.log(cfg, "stdout", "end\n") != want {
			t.Errorf("%d: it printed %q, want %q", i, h.log(cfg, "stdout", "end\n"), want)
		}
		event := h.confined(events, cfg)
		want := fmt.Sprintf(`"%s/key" belongs to "root" (user 0), mode %04o: the task runs as %q`, tc.dir, tc.mode, tc.user)
		if tc.reads && strings.Contains(event, "/key") || !tc.reads && (!strings.Contains(event, want) || !strings.Contains(event, `perms = "644"`)) {
			t.Errorf("%d: the event says %q, want %q", i, event, want)
		}
	}
}

// What a dynamic user makes on a volume, the next one cannot change, and the event
// says what to do: a named user for both works, and so does a group.
func TestVolumeOfTwoUsers(t *testing.T) {
	h := newHarness(t, nil)
	hostUsers(t, "harn-a:x:7001:7001::/:/bin/sh\nharn-b:x:7002:7002::/:/bin/sh\nharn-c:x:7003:7003::/:/bin/sh\n",
		"harn-a:x:7001:\nharn-b:x:7002:\nharn-c:x:7003:\nharn-shared:x:7100:harn-a,harn-b\n")
	events := h.events()
	const (
		writes  = "umask 002; mkdir -p /shared/d; echo first > /shared/d/f"
		changes = "umask 002; { echo second >> /shared/d/f; touch /shared/d/g; } 2> /dev/null && cat /shared/d/f || echo refused"
		note    = `volume_mount: destination "/shared": what the task makes there belongs to "`
	)
	for _, tc := range []struct {
		name          string
		uid, gid      int
		mode          os.FileMode
		first, second string
		want, note    string
	}{
		{"dynamic users", 0, 0, 0o777, "nomad-80771", "nomad-80772", "refused\n", note + `nomad-80772" (user 80772), whom no other task is: tasks that share it need the same user = "..."`},
		{"a named user", 7001, 7001, 0o755, "harn-a", "harn-a", "first\nsecond\n", ""},
		{"a group", 0, 7100, 0o775 | fs.ModeSetgid, "harn-a", "harn-b", "first\nsecond\n", ""},
		{"not of the group", 0, 7100, 0o775 | fs.ModeSetgid, "harn-a", "harn-c", "refused\n", `volume_mount: destination "/shared" belongs to "root" (user 0), mode 2775`},
	} {
		volume := h.owned(strings.ReplaceAll(tc.name, " ", "-"), tc.uid, tc.gid, tc.mode)
		h.runAs(events, tc.first, writes, nil, volume)
		out, event := h.runAs(events, tc.second, changes, nil, volume)
		if out != tc.want {
			t.Errorf("%s: it printed %q, want %q", tc.name, out, tc.want)
		}
		if tc.note == "" && strings.Contains(event, "volume_mount") || !strings.Contains(event, tc.note) {
			t.Errorf("%s: the event is %q, want %q", tc.name, event, tc.note)
		}
	}
}
