// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/nomad/plugins/drivers"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// What a program expects is there under every policy, and nothing of it is the
// host's.
func TestPlacesThatProgramsExpect(t *testing.T) {
	for name, p := range map[string]*policy.Policy{
		"default": {},
		"narrow":  {WorkspaceRoots: []string{"local"}, SideEffectLevel: "process_exec"},
	} {
		h := newHarness(t, nil)
		cfg := h.task(sh(`
			for d in /var/tmp /run /var/run; do f=$(mktemp -p $d probe.XXXXXX) || echo "cannot write $d"; done
			for d in /local /alloc /secrets; do test -d $d || echo "no $d"; done
			test "$PWD" = "$(dirname $NOMAD_TASK_DIR)" || echo "stands in $PWD"
			ls > /dev/null || echo "cannot list"
			(cd local && echo x > y && cat ../local/y > /dev/null && cat /local/y > /dev/null) || echo "no local"
			echo greeting > greeting && cat greeting > /dev/null || echo "cannot write here"
			cd && echo x > dot || echo "cannot write HOME"
			ls /etc/shadow 2> /dev/null && echo "shadow shows"; echo done`))
		config := sh("")
		if err := cfg.DecodeDriverConfig(&config); err != nil {
			t.Fatal(err)
		}
		config.Policy = p
		if err := cfg.EncodeConcreteDriverConfig(&config); err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{"", "local"} {
			if err := os.Chmod(filepath.Join(cfg.TaskDir().Dir, dir), 0o777); err != nil {
				t.Fatal(err)
			}
		}
		h.start(cfg)
		h.wait(cfg.ID)
		if got := h.log(cfg, "stdout", "done"); got != "done\n" {
			t.Errorf("%s: %s", name, got)
		}
		for _, place := range []string{"/var/tmp", "/run"} {
			if left, _ := filepath.Glob(place + "/probe.*"); len(left) > 0 {
				t.Errorf("%s: on the host: %v", name, left)
			}
		}
	}
}

// A volume can be mounted where the host has nothing.
func TestVolumesOnNewPlaces(t *testing.T) {
	h := newHarness(t, nil)
	if err := executor.OverlayWorks("/usr"); err != nil {
		t.Skip(err)
	}
	base := filepath.Join(filepath.Dir(h.config.StateDir), "v")
	for _, dir := range []string{"v", "root/have", "outer"} {
		if err := os.MkdirAll(filepath.Join(base, dir), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	write(t, base+"/v/f", "content\n")
	outer := &drivers.MountConfig{HostPath: base + "/outer", TaskPath: "/outer"}
	for _, tc := range []struct {
		dest string
		file bool
	}{
		{"/data/new", false},
		{"/etc/harn-new/deep", false},
		{"/etc/harn-new.conf", true},
		{"/usr/share/harn-new", false},
		{"/usr/lib/harn.so", true},
		{"/lib/harn-new", false},
		{"/run/harn-new", false},
		{"/var/run/harn-new2", false},
		{"/outer/new", false},
		{base + "/root/new", false},
	} {
		cfg := h.task(sh("cat " + tc.dest + map[bool]string{true: "", false: "/f"}[tc.file]))
		config := sh("cat " + tc.dest + map[bool]string{true: "", false: "/f"}[tc.file])
		config.Policy = &policy.Policy{ReadOnlyRoots: []string{base + "/root"}}
		if err := cfg.EncodeConcreteDriverConfig(&config); err != nil {
			t.Fatal(err)
		}
		source := base + "/v"
		if tc.file {
			source += "/f"
		}
		cfg.Mounts = []*drivers.MountConfig{outer, {HostPath: source, TaskPath: tc.dest, Readonly: true}}
		if _, _, err := h.StartTask(cfg); err != nil {
			t.Errorf("%s: %v", tc.dest, err)
			continue
		}
		h.wait(cfg.ID)
		h.log(cfg, "stdout", "content\n")
		_ = h.DestroyTask(cfg.ID, true)
		if _, err := os.Lstat(tc.dest); err == nil && tc.dest != "/outer/new" {
			t.Errorf("%s was made on the host", tc.dest)
		}
	}
}

// Nomad unmounts and removes its own directories of a task by their names: a task
// cannot put anything else there.
func TestNomadsDirectoriesStay(t *testing.T) {
	h := newHarness(t, nil)
	cfg := h.task(sh(`
		for d in private secrets alloc; do
			test -e $d || echo "no $d"
			mv $d moved 2> /dev/null && echo "moved $d"
			rm -rf $d 2> /dev/null; rmdir $d 2> /dev/null
			test -e $d || echo "removed $d"
		done
		mkdir own && mv own other && rmdir other && echo sibling works
		ls private/* 2> /dev/null; echo done`))
	for _, dir := range []string{"", "private"} {
		dir = filepath.Join(cfg.TaskDir().Dir, dir)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(cfg.TaskDir().Dir, "private/word"), []byte("word"), 0o644); err != nil {
		t.Fatal(err)
	}
	h.start(cfg)
	h.wait(cfg.ID)
	if got := h.log(cfg, "stdout", "done"); got != "sibling works\ndone\n" {
		t.Errorf("%s", got)
	}
}
