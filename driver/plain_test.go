// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/nomad/plugins/drivers"

	"github.com/burin-labs/nomad-driver-harn/policy"
)

// oneLine fails if a message is more than one line of text that does nothing to a
// terminal, or floods it.
func oneLine(t *testing.T, what, message string) {
	t.Helper()
	if !utf8.ValidString(message) || strings.ContainsFunc(message, func(r rune) bool { return r != ' ' && unicode.In(r, unicode.C, unicode.Z) }) {
		t.Errorf("%s: %q", what, message)
	}
	if len(message) > 4<<10 {
		t.Errorf("%s has %d bytes: %.200q", what, len(message), message)
	}
}

const (
	hostileText = "x\x1b[31mRED\nFAKE: Terminated\u202e\u009b"
	hostileName = hostileText + "\xff" // a file can have it, a job cannot
)

// Whatever name a task prepares for its next start, or a job gives, what refuses the
// task is one harmless line, with the name quoted.
func TestRefusalsAreOneLine(t *testing.T) {
	h := newHarness(t, nil)
	long := strings.Repeat("y", 250)
	deep := strings.Repeat(long+"/", 14) + "z"
	for name, tc := range map[string]struct {
		config  TaskConfig
		prepare func(dir string) error
		change  func(*drivers.TaskConfig)
		want    string // in the message
	}{
		"command: a link to nothing": {
			config:  TaskConfig{Command: "local/prog"},
			prepare: func(dir string) error { return os.Symlink(hostileName, dir+"/local/prog") },
			want:    "was not found",
		},
		"command: a link to a directory": {
			config: TaskConfig{Command: "local/prog"},
			prepare: func(dir string) error {
				return errors.Join(os.Mkdir(dir+"/local/"+hostileName, 0o755), os.Symlink(hostileName, dir+"/local/prog"))
			},
			want: "is not a file",
		},
		"command: a loop": {
			config: TaskConfig{Command: "local/" + hostileName},
			prepare: func(dir string) error {
				return os.Symlink(hostileName, dir+"/local/"+hostileName)
			},
			want: "command",
		},
		"a root: a link to nothing": {
			config:  TaskConfig{Command: "/bin/true", Policy: &policy.Policy{WorkspaceRoots: []string{"local/r"}}},
			prepare: func(dir string) error { return os.Symlink(hostileName, dir+"/local/r") },
			want:    `\x1b[31mRED\nFAKE`,
		},
		"a root: a link to a file's inside": {
			config: TaskConfig{Command: "/bin/true", Policy: &policy.Policy{ReadOnlyRoots: []string{"local/r"}}},
			prepare: func(dir string) error {
				return errors.Join(os.WriteFile(dir+"/local/"+hostileName, nil, 0o644), os.Symlink(hostileName+"/in", dir+"/local/r"))
			},
			want: "is not a directory",
		},
		"work_dir: a link to nothing": {
			config:  TaskConfig{Command: "/bin/true", WorkDir: "local/w"},
			prepare: func(dir string) error { return os.Symlink(hostileName, dir+"/local/w") },
			want:    "work_dir",
		},
		"command of the job":      {config: TaskConfig{Command: hostileName}, want: "was not found in local/"},
		"a long command":          {config: TaskConfig{Command: strings.Repeat("c", 200_000)}, want: "(200000 bytes)"},
		"a deep command":          {config: TaskConfig{Command: "local/" + deep}, want: "bytes)"},
		"PATH":                    {config: TaskConfig{Command: "none"}, change: func(c *drivers.TaskConfig) { c.Env["PATH"] = "/" + hostileText + strings.Repeat(":/x", 20_000) }, want: "was not found"},
		"user":                    {config: TaskConfig{Command: "/bin/true"}, change: func(c *drivers.TaskConfig) { c.User = hostileText }, want: "user: "},
		"a capability":            {config: TaskConfig{Command: "/bin/true", CapAdd: []string{hostileName}}, want: "cap_add"},
		"a limit":                 {config: TaskConfig{Command: "/bin/true", Ulimit: map[string]string{hostileName: hostileName}}, want: "ulimit"},
		"a workspace operation":   {config: TaskConfig{Command: "/bin/true", Policy: &policy.Policy{Capabilities: map[string][]string{"workspace": {hostileName}}}}, want: "workspace operation"},
		"a profile":               {config: TaskConfig{Command: "/bin/true", Policy: &policy.Policy{SandboxProfile: hostileName}}, want: "sandbox_profile"},
		"a missing root":          {config: TaskConfig{Command: "/bin/true", Policy: &policy.Policy{ReadOnlyRoots: []string{"/srv/" + hostileName}}}, want: "read_only_roots[0]"},
		"many missing roots":      {config: TaskConfig{Command: "/bin/true", Policy: &policy.Policy{ReadOnlyRoots: strings.Split(strings.Repeat("/srv/"+hostileName+",", 1000)+"/x", ",")}}, want: "read_only_roots[0]"},
		"too many roots":          {config: TaskConfig{Command: "/bin/true", Policy: &policy.Policy{ReadOnlyRoots: strings.Split(strings.Repeat("/srv/"+hostileName+",", 2000)+"/x", ",")}}, want: "2001 entries, expected at most 1024"},
		"a device":                {config: TaskConfig{Command: "/bin/true", Policy: &policy.Policy{Extensions: policy.Extensions{Devices: []string{"/dev/" + hostileName}}}}, want: "devices[0]"},
		"an argument":             {config: TaskConfig{Command: "/bin/true", Args: []string{strings.Repeat("a", 140_000)}}, want: "argument 1 of 1 (140000 bytes)"},
		"a variable":              {config: TaskConfig{Command: "/bin/true"}, change: func(c *drivers.TaskConfig) { c.Env["V\nX"] = strings.Repeat("a", 140_000) }, want: `the variable "V\nX" (140004 bytes)`},
		"an argument with a null": {config: TaskConfig{Command: "/bin/true", Args: []string{hostileName + "\x00"}}, want: "NUL byte"},
		"an interpreter": {
			config: TaskConfig{Command: "local/script"},
			prepare: func(dir string) error {
				return os.WriteFile(dir+"/local/script", []byte("#!/"+hostileName+"\n"), 0o755)
			},
			want: "does not exist: correct the first line",
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := h.task(tc.config)
			if tc.prepare != nil {
				if err := tc.prepare(filepath.Dir(cfg.Env["NOMAD_TASK_DIR"])); err != nil {
					t.Fatal(err)
				}
			}
			if tc.change != nil {
				tc.change(cfg)
			}
			_, _, err := h.StartTask(cfg)
			if err == nil {
				t.Fatal("it was started")
			}
			oneLine(t, "the error", err.Error())
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s, expected %s", err, tc.want)
			}
		})
	}
}

// The last line of defense: events and the agent's log, whatever is given to them.
func TestEventsAndLogAreOneLine(t *testing.T) {
	var log bytes.Buffer
	d := New(t.Context(), hclog.New(&hclog.LoggerOptions{Level: hclog.Debug, Output: &log}))
	events, err := d.TaskEvents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d.emit(&drivers.TaskConfig{ID: "a/t/1", Name: "t"}, hostileName+strings.Repeat("long ", 10_000)+"reason")
	select {
	case e := <-events:
		oneLine(t, "the event", e.Message)
		if !strings.HasSuffix(e.Message, "reason") {
			t.Errorf("it has lost its end: %s", e.Message)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("no event")
	}
	d.logger.Warn("text", "task_id", hostileName, "error", fmt.Errorf("open %s: no", hostileName), "n", 1)
	d.logger.Debug(hostileName)
	lines := strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n")
	if len(lines) != 2 {
		t.Errorf("%d lines: %q", len(lines), lines)
	}
	for _, line := range lines {
		oneLine(t, "the log", line)
	}
}
