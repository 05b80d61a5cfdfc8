// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"os"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

// Files of /proc that are no process's own are one for all /proc there are: a task of root
// would change their modes for the whole machine, and lastingly.
func TestRootChangesNoModesInProc(t *testing.T) {
	kerneltest.Root(t)
	const file = "/proc/execdomains"
	before, err := os.Stat(file)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = os.Chmod(file, before.Mode()) })
	for _, pidMode := range []string{"", "host"} {
		h := newHarness(t, func(c *Config) { c.AllowRoot, c.AllowHostPID = true, true })
		c := sh("chmod 700 " + file + " && touch -d 2001-01-01 " + file + "; cat " + file + " > /dev/null && touch local/x && chmod 700 local/x && cat /proc/self/oom_score_adj && echo control; echo end")
		c.PIDMode = pidMode
		cfg := h.task(c)
		cfg.User = "root"
		for _, dir := range []string{cfg.TaskDir().Dir, cfg.TaskDir().LocalDir} { // root has no capabilities
			if err := os.Chmod(dir, 0o777); err != nil {
				t.Fatal(err)
			}
		}
		h.start(cfg)
		h.wait(cfg.ID)
		if out := h.log(cfg, "stdout", "end\n"); out != "0\ncontrol\nend\n" {
			t.Errorf("pid_mode %q: %q", pidMode, out)
		}
		if after, err := os.Stat(file); err != nil || after.Mode() != before.Mode() {
			t.Errorf("pid_mode %q: the mode is %v, it was %v", pidMode, after.Mode(), before.Mode())
		}
	}
}
