// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/nomad/plugins/drivers"

	"github.com/burin-labs/nomad-driver-harn/executor"
)

// What people start first knows who it is, under a user that the host does not know.
func TestProgramsKnowTheirUser(t *testing.T) {
	h := newHarness(t, nil)
	if err := executor.OverlayWorks("/etc"); err != nil {
		t.Skip(err)
	}
	for _, tc := range []struct{ program, script, want string }{
		{"id", "id -un", "nomad-80778"},
		{"bash", `bash -c 'eval echo ~nomad-80778'`, "HOME"},
		{"ssh-keygen", "ssh-keygen -q -t ed25519 -N '' -f local/key && cut -d' ' -f3 local/key.pub | cut -d@ -f1", "nomad-80778"},
		{"ssh", "ssh -G example.test | grep '^user '", "user nomad-80778"},
		{"psql", "psql -h /nowhere 2>&1 | grep -c 'local user with ID'", "0"},
		{"python3", "python3 -c 'import pwd, os; print(pwd.getpwuid(os.getuid()).pw_dir)'", "HOME"},
		{"node", `node -p 'const u = os.userInfo(); u.username + " " + u.homedir'`, "nomad-80778 HOME"},
		{"perl", `perl -e 'print((getpwuid($<))[0], "\n")'`, "nomad-80778"},
		{"java", `java -XshowSettings:properties -version 2>&1 | sed -n 's/ *user.home = //p; s/ *user.name = //p' | sort -r | tr '\n' ' '`, "nomad-80778 HOME"},
	} {
		if _, err := exec.LookPath(tc.program); err != nil {
			t.Logf("no %s here", tc.program)
			continue
		}
		cfg := h.task(sh("{ " + tc.script + "; } 2>&1; echo; echo end"))
		cfg.User = "nomad-80778"
		for _, dir := range []string{"", "local"} {
			if err := os.Chmod(filepath.Join(cfg.TaskDir().Dir, dir), 0o777); err != nil {
				t.Fatal(err)
			}
		}
		h.start(cfg)
		h.wait(cfg.ID)
		want := strings.ReplaceAll(tc.want, "HOME", filepath.Dir(cfg.Env["NOMAD_TASK_DIR"]))
		got, _, _ := strings.Cut(h.log(cfg, "stdout", "end"), "end")
		check(t, h.DestroyTask(cfg.ID, true)) // its user is one task's alone
		words := strings.Fields(got)
		for _, word := range strings.Fields(want) {
			if !strings.Contains(" "+strings.Join(words, " ")+" ", " "+word+" ") {
				t.Errorf("%s: %q, want %q", tc.program, got, want)
			}
		}
	}
}

// A session starts, and its task goes on, when the host has replaced the one file
// that a volume is.
func TestSessionAfterAVolumeWasReplaced(t *testing.T) {
	h := newHarness(t, nil)
	file := filepath.Join(filepath.Dir(h.config.StateDir), "app.conf")
	write(t, file, "old\n")
	cfg := h.task(sh("echo ready; sleep 60"))
	cfg.Mounts = []*drivers.MountConfig{{HostPath: file, TaskPath: "/conf/app.conf", Readonly: true}}
	h.start(cfg)
	h.log(cfg, "stdout", "ready\n")
	write(t, file+".new", "new\n")
	check(t, os.Rename(file+".new", file))
	for range 2 {
		result, err := h.driver.ExecTask(cfg.ID, []string{"cat", "/conf/app.conf"}, 10e9)
		if err != nil || string(result.Stdout) != "old\n" {
			t.Errorf("%+v, %v", result, err)
		}
		check(t, os.Remove(file))
		write(t, file, "another\n")
	}
}

// jps(1) and top(1) of a session show a JVM of the task's, and the thread dump that
// the documents name instead of jcmd(1) is made.
func TestSessionSeesAJVM(t *testing.T) {
	h := newHarness(t, nil)
	for _, program := range []string{"jps", "javac"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	cfg := h.task(sh(`cd local && echo 'public class Served { public static void main(String[] a) throws Exception { System.out.println("ready"); Thread.sleep(60000); } }' > Served.java &&
		javac Served.java && exec java Served`))
	if err := os.Chmod(filepath.Join(cfg.TaskDir().Dir, "local"), 0o777); err != nil {
		t.Fatal(err)
	}
	h.start(cfg)
	h.log(cfg, "stdout", "ready\n")
	var out bytes.Buffer
	errs, code := h.stream(t.Context(), cfg.ID, false, &out, "sh", "-c", "jps | grep -o Served; top -b -n 1 | grep -o java; kill -QUIT $(pgrep -x java)")
	if code != 0 || out.String() != "Served\njava\n" {
		t.Errorf("code %d, %q, %s", code, out.String(), errs)
	}
	h.log(cfg, "stdout", "Full thread dump")
}
