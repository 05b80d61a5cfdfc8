// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package suggest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/audit"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// host makes files of a host beneath a directory.
func host(t *testing.T, files ...string) *Guard {
	t.Helper()
	root := t.TempDir()
	for _, name := range files {
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if target, link := strings.CutPrefix(filepath.Base(name), "link-"); link {
			if err := os.Symlink(filepath.Join(root, strings.ReplaceAll(target, "_", "/")), filepath.Join(root, name)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		content := ""
		if name == "/etc/passwd" {
			content = "root:x:0:0::/root:/bin/sh\nwww:x:33:33::/var/www:/bin/false\nann:x:1000:1000::/data/people/ann:/bin/sh\nnobody:x:65534:65534::/nonexistent:/bin/false\n"
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &Guard{Root: root, Places: []Place{{"/secret/masked", "masked"}, {"/data/nomad", "a directory of the Nomad agent's"}}}
}

// Each of the 28 is written here again, from Harn's list: the table under test is not
// its own oracle.
const harnsCredentials = `.ssh .aws .gnupg .netrc .docker/config.json .config/gh/hosts.yml .config/gcloud .kube/config .npmrc .pypirc
.cargo/credentials .cargo/credentials.toml .composer/auth.json .config/composer/auth.json .config/git/credentials .config/glab-cli
.config/hub .config/github-copilot .config/rclone/rclone.conf .config/doctl .config/hcloud .config/containers/auth.json
.config/.wrangler .config/stripe .config/sops/age .config/configstore/firebase-tools.json .cache/huggingface/token
.cache/huggingface/stored_tokens`

func TestNothingClosedIsSuggested(t *testing.T) {
	g := host(t, "/etc/passwd", "/srv/app/.ssh/id", "/srv/other/.config/gh/hosts.yml", "/srv/ok/file", "/mnt/agent/client/state.db", "/mnt/agent/alloc/x/y",
		"/srv/link-root_.ssh", "/root/.ssh/id", "/srv/ok/link-srv_ok_file", "/srv/link-etc_shadow", "/etc/shadow", "/mounts/alloc_mounts/a/b")
	closed := []string{
		"/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/ssl/private/k.pem", "/etc/sudoers.d/x", "/etc/ssh/ssh_host_ed25519_key",
		"/proc", "/proc/1/mem", "/sys/kernel", "/dev/sda", "/dev/kvm", "/dev/mem",
		"/etc/nomad.d/nomad.hcl", "/var/lib/nomad/server/raft", "/opt/nomad", "/data/nomad/x", "/mnt/agent/alloc/x", "/mnt/agent/server", "/mounts/alloc_mounts/a", "/mounts",
		"/var/lib/nomad-driver-harn/x", "/secret/masked", "/secret/masked/x",
		"/run/docker.sock", "/var/run/docker.sock", "/run/containerd/containerd.sock", "/run/user/1000/podman/podman.sock", "/home/a/.docker/run/docker.sock",
		"/var/run/dbus/system_bus_socket", "/run/systemd/private", "/var/lib/docker/overlay2", "/x/secrets/api.sock",
		"/root", "/home", "/data/people/ann", "/data/people", "/data",
		"/srv/app", "/srv/other/.config", "/srv/other/.config/gh", "/srv/link-root_.ssh", "/srv/link-root_.ssh/id", "/srv/link-etc_shadow",
		"/root/.pyenv", "/root/.cargo", "/root/.cargo/.", "/root/.gitconfig", "/root/.bashrc",
		"/var/log", "/var/log/app/x.log", "/var/lib/systemd", "/var/lib/systemd/timers", "/var/backups", "/var/spool/cron",
		"/root/../etc/shadow", "/etc//shadow", "/etc/shadow/.",
	}
	for _, rel := range strings.Fields(harnsCredentials) {
		closed = append(closed, "/root/"+rel, "/home/u/"+rel, "/data/people/ann/"+rel+"/x", "/anywhere/"+rel)
	}
	if n := len(strings.Fields(harnsCredentials)); n != 28 || n != len(policy.Credentials) {
		t.Errorf("%d credentials, the guard has %d", n, len(policy.Credentials))
	}
	for _, path := range closed {
		if g.Refuse(path) == "" {
			t.Errorf("%s is not refused", path)
		}
		for _, rights := range [][]string{{"fs.read_file"}, {"fs.read_dir"}, {"fs.write_file"}, {"fs.make_reg"}, {"fs.resolve_unix"}, {"fs.ioctl_dev"}} {
			s := Guarded(&policy.Policy{}, &policy.Policy{}, g, []audit.Line{{Denial: audit.Denial{Kind: audit.FS, Rights: rights, Path: path, Count: 1}}})
			if len(s.Changes) != 0 || len(s.Refused) != 1 || s.Refused[0].Reason == "" {
				t.Errorf("%s %v: %+v, refused %+v", path, rights, s.Policy, s.Refused)
			}
		}
	}
	for _, path := range []string{
		"/srv/ok", "/srv/ok/file", "/srv/ok/link-srv_ok_file", "/home/u/project", "/root/project", "/data/people/ann/project", "/var/www", "/opt/tool", "/etc/shadows",
		"/secret", "/home/u/x.ssh", "/home/u/.config/nvim", "/run/postgresql/.s.PGSQL.5432", "/opt/nomads", "/devices", "/home/u/.pyenv/versions/3.12", "/root/.pyenv/versions/3.12", "/var/lib/app", "/var/logs", "/rooted/.x", "/mounts/project",
	} {
		if why := g.Refuse(path); why != "" {
			t.Errorf("%s: %s", path, why)
		}
	}
}

// A task's own directory is its own wherever it lies, those beside it are not.
func TestOtherTasksAreNotSuggested(t *testing.T) {
	for path, want := range map[string]bool{
		"/var/lib/nomad/alloc_mounts/a-t/local/x": true, "/var/lib/nomad/alloc_mounts/b-t/local": false, "/var/lib/nomad/alloc_mounts": false, "/var/lib/nomad": false, "/var": false,
	} {
		line := audit.Line{TaskDir: "/var/lib/nomad/alloc_mounts/a-t", Denial: audit.Denial{Kind: audit.FS, Rights: []string{"fs.make_reg"}, Path: path, Count: 1}}
		s := For(&policy.Policy{WorkspaceRoots: []string{"tmp"}}, &policy.Policy{}, []audit.Line{line})
		if got := len(s.Changes) == 1; got != want {
			t.Errorf("%s: %+v, %+v", path, s.Policy, s.Refused)
		}
	}
}

// What is refused takes nothing with it.
func TestOneBadDenialCancelsNothing(t *testing.T) {
	for _, bad := range []string{"//", "/.", "/", "/srv/..", "/proc", "", "relative", "/etc/shadow", "/srv/\xff", "/home", "/run"} {
		for _, first := range []bool{true, false} {
			lines := []audit.Line{file(bad, "fs.read_file"), file("/srv/ok/a", "fs.read_file"), file("/srv/ok/b", "fs.make_reg")}
			if !first {
				slices.Reverse(lines)
			}
			s := For(&policy.Policy{}, &policy.Policy{}, lines)
			if !slices.Equal(s.Policy.ReadOnlyRoots, []string{"/srv/ok/a"}) || !slices.Equal(s.Policy.WorkspaceRoots, []string{".", "/srv/ok/b"}) || len(s.Refused) != 1 {
				t.Errorf("%q: %+v, refused %+v", bad, s.Policy, s.Refused)
			}
			if _, err := s.Verified(); err != nil {
				t.Errorf("%q: %v", bad, err)
			}
		}
	}
	// Nor does what the ceiling forbids.
	s := For(&policy.Policy{}, &policy.Policy{ReadOnlyRoots: []string{"/srv/public"}}, []audit.Line{file("/srv", "fs.read_dir"), file("/srv/public/x", "fs.read_file")})
	if !slices.Equal(s.Policy.ReadOnlyRoots, []string{"/srv/public/x"}) || len(s.Refused) != 1 {
		t.Errorf("%+v, refused %+v", s.Policy, s.Refused)
	}
	// Five paths are their directory only if that is not closed.
	var lines []audit.Line
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		lines = append(lines, file("/home/u/"+name, "fs.read_file"))
	}
	if s := Guarded(&policy.Policy{}, &policy.Policy{}, &Guard{homes: []string{"/home/u"}}, lines); len(s.Policy.ReadOnlyRoots) != 5 || len(s.Refused) != 0 {
		t.Errorf("%+v, refused %+v", s.Policy, s.Refused)
	}
}

func TestForgedRights(t *testing.T) {
	for _, rights := range [][]string{{"fs.read_file\n  sandbox_profile = \"unrestricted\""}, {"fs.read_file", "x y"}, {""}, {"fs."}, {}, {"syscall 1\n"}} {
		for _, kind := range []string{audit.FS, audit.Net, audit.Syscall, audit.Scope} {
			line := audit.Line{Denial: audit.Denial{Kind: kind, Rights: rights, Path: "/srv/x", Count: 1}}
			s := For(&policy.Policy{}, &policy.Policy{}, []audit.Line{line})
			if len(s.Changes) != 0 || len(s.Refused) != 1 || strings.Contains(s.Refused[0].Denial, "\n") {
				t.Errorf("%s %q: %+v, %+v", kind, rights, s.Changes, s.Refused)
			}
		}
	}
}
