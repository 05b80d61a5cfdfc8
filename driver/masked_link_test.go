// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/executor"
)

// Where a link leads over which a masked path is reached, what lies beside that
// can be read. What the host puts in the link's place is not there for a task that
// runs.
func TestReplacedLinkToAMaskedPath(t *testing.T) {
	h := newHarness(t, nil)
	if err := executor.OverlayWorks("/etc"); err != nil {
		t.Skip(err)
	}
	etc, elsewhere := t.TempDir(), filepath.Join(filepath.Dir(h.config.StateDir), "ssl")
	for _, dir := range []string{elsewhere + "/private", elsewhere + "/certs"} {
		check(t, os.MkdirAll(dir, 0o755))
	}
	write(t, elsewhere+"/private/key", "secret\n")
	write(t, elsewhere+"/certs/site.pem", "certificate\n")
	for _, file := range []string{"passwd", "group", "nsswitch.conf"} {
		text, _ := os.ReadFile("/etc/" + file)
		write(t, filepath.Join(etc, file), string(text))
	}
	check(t, os.Symlink(elsewhere, etc+"/ssl"))
	check(t, os.Chmod(etc, 0o755))
	mountOver(t, etc, "/etc")
	cfg := h.task(sh(`look() { cat /etc/ssl/certs/site.pem; cat /etc/ssl/private/key ` + elsewhere + `/private/key $1 2> /dev/null; echo looked; }
		look; while [ ! -e local/go ]; do sleep 0.02; done; look /etc/new; echo after`))
	h.start(cfg)
	h.log(cfg, "stdout", "certificate\nlooked\n")
	check(t, os.Remove(etc+"/ssl"))
	check(t, os.MkdirAll(etc+"/ssl/private", 0o755))
	write(t, etc+"/ssl/private/key", "secret, later\n")
	write(t, etc+"/new", "new\n")
	write(t, filepath.Join(cfg.TaskDir().Dir, "local", "go"), "")
	if got, want := h.log(cfg, "stdout", "after\n"), "certificate\nlooked\ncertificate\nnew\nlooked\nafter\n"; got != want {
		t.Errorf("it printed %q, want %q", got, want)
	}
}
