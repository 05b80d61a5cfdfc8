// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/executor/image"
	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

// A layout is a host whose file system is laid out differently.
type layout struct {
	name string
	// base is what the root is made of, plainBase by default.
	base func(t *testing.T, r *hostRoot)
	// change makes what is different, before anything runs there.
	change func(t *testing.T, r *hostRoot)
	// data and mounts are the client's data_dir and alloc_mounts_dir, by default
	// those of Nomad's packages.
	data, mounts string
	masked       []string          // masked_paths of the plugin
	path         string            // the jobs' PATH
	refuses      map[string]string // jobs that cannot run, and what the error says
	needs        func(t *testing.T)
}

// link is a host on which a name of the plain one is a symbolic link. What was
// there is where it leads.
func link(name, target string) func(*testing.T, *hostRoot) {
	return func(t *testing.T, r *hostRoot) { r.link(t, name, target) }
}

func layouts() []layout {
	return []layout{
		{name: "plain"},
		{name: "tmp links to var-tmp", change: link("/tmp", "var/tmp")},
		{name: "var-tmp links to tmp", change: link("/var/tmp", "/tmp")},
		{name: "var-tmp links elsewhere", change: link("/var/tmp", "/mnt/scratch")},
		{name: "run is a link", change: link("/run", "var/ram")},
		{name: "var-run is a directory", change: func(t *testing.T, r *hostRoot) { r.remove(t, "/var/run"); r.dir(t, "/var/run", 0o755) }},
		{name: "var is a link", change: link("/var", "mnt/var")},
		{name: "nomad.d is a link", change: link("/etc/nomad.d", "/opt/nomad/config")},
		{name: "ssl links into usr", change: link("/etc/ssl", "/usr/local/etc/ssl"), base: copiedBase(merged)},
		{name: "ssl links elsewhere", change: link("/etc/ssl", "../mnt/pki/ssl")},
		{name: "localtime is a file", change: func(t *testing.T, r *hostRoot) {
			r.remove(t, "/etc/localtime")
			r.file(t, "/etc/localtime", zoneFile)
		}},
		{name: "localtime links elsewhere", change: link("/etc/localtime", "/mnt/zone/here")},
		{name: "resolv.conf links to run", change: link("/etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf")},
		{name: "resolv.conf links elsewhere", change: link("/etc/resolv.conf", "/mnt/dns/resolv.conf")},
		{name: "links of the root are absolute", change: func(t *testing.T, r *hostRoot) {
			for _, name := range []string{"bin", "sbin", "lib", "lib64"} {
				if r.isLink(name) {
					r.remove(t, name)
					r.symlink(t, "/usr/"+name, name)
				}
			}
		}},
		{name: "merged usr", base: copiedBase(merged)},
		{name: "unmerged usr", base: copiedBase(unmerged)},
		{name: "data_dir is behind a link", data: "/srv/nomad", change: func(t *testing.T, r *hostRoot) {
			r.dir(t, "/mnt/big/nomad", 0o755)
			r.symlink(t, "../mnt/big/nomad", "/srv/nomad")
		}},
		{name: "alloc_mounts_dir is behind a link", mounts: "/srv/links/mounts", change: func(t *testing.T, r *hostRoot) {
			r.dir(t, "/mnt/big", 0o755)
			r.symlink(t, "/mnt/big", "/srv/links")
		}},
		{name: "alloc_mounts_dir is in run", mounts: "/run/nomad/mounts"},
		{name: "alloc_mounts_dir is in var-tmp", mounts: "/var/tmp/nomad/mounts"},
		{name: "data_dir is below a masked directory", data: "/srv/closed/nomad", masked: []string{"/srv/closed"}},
		{name: "data_dir is below a masked link", data: "/srv/closed/nomad", masked: []string{"/srv/closed"}, change: func(t *testing.T, r *hostRoot) {
			r.dir(t, "/mnt/big", 0o755)
			r.symlink(t, "/mnt/big", "/srv/closed")
		}},
		{name: "data_dir is in nomad.d", data: "/etc/nomad.d/data", refuses: map[string]string{
			// What is hidden there by name would be the task's own.
			"a volume": `destination "/etc/volume": there is nothing on this host`,
		}},
		{name: "as NixOS has it", base: nixBase, path: "/run/current-system/sw/bin"},
		{name: "root is an overlay", base: overlayBase},
		{name: "root is btrfs", base: btrfsBase, needs: needsBtrfs},
	}
}

// layoutVariable names the layout that this process is to be the host of,
// programVariable the file of the executor's program.
const (
	layoutVariable  = "HARN_TEST_LAYOUT"
	programVariable = "HARN_TEST_PROGRAM"
)

// staticProgram is the executor's program, which needs no libraries: this one may
// need some that a host does not have in their place.
func staticProgram(t *testing.T) string {
	t.Helper()
	if file, started := os.LookupEnv(programVariable); started {
		return file
	}
	file := filepath.Join(t.TempDir(), "program")
	if _, err := exec.LookPath("go"); err == nil {
		cmd := exec.CommandContext(t.Context(), "go", "build", "-o", file, "../executor/image/program")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go build: %v, %s", err, out)
		}
		return file
	}
	program := image.Program()
	if program == nil {
		kerneltest.Missing(t, "no Go to build the executor's program with")
	}
	text, err := io.ReadAll(program)
	check(t, err)
	check(t, os.WriteFile(file, text, 0o755))
	return file
}

// TestHostLayouts runs the same jobs on hosts that are laid out differently. Each
// is a root of its own, in a mount namespace and a process of its own.
func TestHostLayouts(t *testing.T) {
	kerneltest.Root(t)
	kerneltest.Landlock(t, 1)
	if os.Getenv("HARN_VM") != "" { // of vm.sh: programs are some 7 times slower
		t.Skip("layouts are tried on this machine's own kernel")
	}
	program := staticProgram(t)
	for _, l := range layouts() {
		if name, chosen := os.LookupEnv(layoutVariable); chosen {
			if name == l.name {
				l.run(t)
			}
			continue
		}
		t.Run(l.name, func(t *testing.T) {
			if l.needs != nil {
				l.needs(t)
			}
			cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestHostLayouts$", "-test.v=true")
			cmd.Args[0] = os.Args[0]
			cmd.Env = append(os.Environ(), layoutVariable+"="+l.name, programVariable+"="+program, "TMPDIR="+t.TempDir())
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
			out, err := cmd.CombinedOutput()
			if err != nil || testing.Verbose() {
				t.Logf("%s", out)
			}
			switch text := string(out); {
			case err != nil:
				t.Error(err)
			case strings.Contains(text, "--- SKIP: "):
				t.Skip(text)
			case strings.Count(text, "    --- PASS: ") != len(jobs):
				t.Errorf("not all jobs ran:\n%s", text)
			}
		})
	}
}

// run makes this process's root the layout's, and runs the jobs there.
func (l *layout) run(t *testing.T) {
	r := newHostRoot(t)
	base := l.base
	if base == nil {
		base = plainBase
	}
	if program := os.Getenv(programVariable); program != "" {
		text, err := os.ReadFile(program)
		check(t, err)
		executor.SetProgram(bytes.NewReader(text))
	}
	base(t, r)
	r.furnish(t)
	if l.change != nil {
		l.change(t, r)
	}
	r.enter(t)
	t.Setenv("TMPDIR", "/var/tmp")
	h := newHarness(t, func(c *Config) {
		c.StateDir, c.MaskedPaths = "/var/lib/nomad-driver-harn", l.masked
	})
	n := &nomadClient{harness: h, data: l.data, mounts: l.mounts, path: l.path}
	n.init()
	for _, j := range jobs {
		t.Run(j.name, func(t *testing.T) { n.run(t, &j, l.refuses[j.name]) })
	}
	for _, place := range []string{"/tmp", "/var/tmp", "/run", "/dev/shm", "/etc", "/"} {
		if left, _ := filepath.Glob(filepath.Join(place, "probe*")); len(left) > 0 {
			t.Errorf("on the host: %v", left)
		}
	}
}
