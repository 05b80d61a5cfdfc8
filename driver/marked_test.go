// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"

	"github.com/burin-labs/nomad-driver-harn/policy"
	"github.com/burin-labs/nomad-driver-harn/sandbox"
)

// tree makes files that everybody may change, by path.
func tree(t *testing.T, base string, files ...string) {
	t.Helper()
	for _, file := range files {
		path := filepath.Join(base, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("text of "+file+"\n"), 0o666); err != nil {
			t.Fatal(err)
		}
		for at := path; at != base; at = filepath.Dir(at) {
			if err := os.Chmod(at, 0o777); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Chmod(base, 0o777); err != nil {
		t.Fatal(err)
	}
}

// tries is a script that does each thing by its name, and again when the host has changed
// something.
func tries(things ...[2]string) string {
	var b strings.Builder
	b.WriteString("for turn in 1 2; do\n")
	for _, thing := range things {
		fmt.Fprintf(&b, "if (%s) >/dev/null 2>&1; then echo $turn %s yes; else echo $turn %s no; fi\n", thing[1], thing[0], thing[0])
	}
	b.WriteString("echo $turn done; while [ $turn = 1 -a ! -e $NOMAD_TASK_DIR/repo/src/go ]; do sleep 0.02; done; done\n")
	return b.String()
}

// twice runs a script of tries, has the host change something between, and compares what worked.
func (h *harness) twice(p *policy.Policy, script string, host func(local string), want map[string]string) {
	h.t.Helper()
	h.twiceIn(p, script, func(string) {}, host, want)
}

// twiceIn is twice, where something is there before the task starts.
func (h *harness) twiceIn(p *policy.Policy, script string, before, host func(local string), want map[string]string) {
	h.t.Helper()
	task := sh(script)
	task.Policy = p
	cfg := h.task(task)
	local := cfg.Env["NOMAD_TASK_DIR"]
	if err := os.Chmod(local, 0o777); err != nil {
		h.t.Fatal(err)
	}
	tree(h.t, local+"/repo", "README", ".git/config", ".git/hooks/pre-commit", "src/main.c")
	before(local)
	h.start(cfg)
	h.log(cfg, "stdout", "1 done")
	host(local)
	if err := os.WriteFile(local+"/repo/src/go", nil, 0o666); err != nil {
		h.t.Fatal(err)
	}
	h.wait(cfg.ID)
	out := h.log(cfg, "stdout", "2 done")
	for thing, turns := range want {
		for i, answer := range strings.Fields(turns) {
			if line := fmt.Sprintf("%d %s %s\n", i+1, thing, answer); !strings.Contains(out, line) {
				h.t.Errorf("no %q in\n%s", line, out)
			}
		}
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Error(err)
	}
}

// What read_deny_roots name stays closed, whatever the task or the host renames, whether it was there
// or not; what lies beside can be read.
func TestReadDenyRoots(t *testing.T) {
	for name, deny := range map[string]func(base string) policy.Policy{
		"of the policy": func(base string) policy.Policy {
			return policy.Policy{Extensions: policy.Extensions{ReadDenyRoots: []string{base + "/data/keys", base + "/data/later", base + "/data/link", "local/repo/.env"}}}
		},
		"of process_sandbox": func(base string) policy.Policy {
			return policy.Policy{ProcessSandbox: &policy.ProcessSandbox{ReadDenyRoots: []string{base + "/data/keys", base + "/data/later", base + "/data/link", "local/repo/.env"}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, nil)
			base := filepath.Dir(h.config.StateDir)
			tree(t, base+"/data", "keys/id", "models/m", "linked/id")
			if err := os.Symlink("linked", base+"/data/link"); err != nil {
				t.Fatal(err)
			}
			p := deny(base)
			p.ReadOnlyRoots = []string{base + "/data"}
			data := base + "/data/"
			h.twice(&p, tries(
				[2]string{"keys", "cat " + data + "keys/id"}, [2]string{"moved", "cat " + data + "models/keys/id"}, [2]string{"linked", "cat " + data + "linked/id"},
				[2]string{"later", "cat " + data + "later"}, [2]string{"models", "cat " + data + "models/m"},
				[2]string{"env", "cat local/repo/.env"}, [2]string{"make", "echo x > local/repo/.env"}, [2]string{"mkdir", "mkdir local/repo/.env"},
				[2]string{"rename", "mv local/repo local/repo2"}, [2]string{"link", "ln local/repo/README local/repo/.env"},
				[2]string{"src", "echo x >> local/repo/src/main.c"}, [2]string{"new", "echo x > local/repo/src/new"}, [2]string{"readme", "echo x >> local/repo/README"},
			), func(local string) {
				tree(t, base+"/data", "later")
				rename(t, base+"/data/keys", base+"/data/models/keys")
				tree(t, base+"/data", "keys/id")
				tree(t, local+"/repo", ".env")
			}, map[string]string{
				"keys": "no no", "moved": "no no", "linked": "no no", "later": "no no", "models": "yes yes",
				"env": "no no", "make": "no no", "mkdir": "no no", "rename": "no no", "link": "no no", "src": "yes yes", "new": "yes yes", "readme": "yes yes",
			})
		})
	}
}

// Where somebody has made a link of what read_deny_roots name, the link closes nothing else: neither
// what it leads to, nor does the task not start. What replaces the link is closed, and so is what a
// link leads to in a root.
func TestLinksOfOthersCloseNothingElse(t *testing.T) {
	h := newHarness(t, nil)
	base := filepath.Dir(h.config.StateDir)
	data := base + "/data/"
	tree(t, base+"/data", "file", "inside/id", "work/file")
	tree(t, base+"/others", "file")
	const somebody = 12345
	links := map[string]string{"all": "/", "system": "/usr", "self": "self", "up": "..", "here": ".", "root": base + "/others", "keys": "inside", "work/up": "../work"}
	things := [][2]string{{"file", "cat " + data + "file"}, {"others", "cat " + base + "/others/file"}, {"work", "cat " + data + "work/file"}, {"inside", "cat " + data + "inside/id"}}
	want := map[string]string{"file": "yes yes", "others": "yes yes", "work": "yes yes", "inside": "no no"}
	p := &policy.Policy{ReadOnlyRoots: []string{base + "/data", base + "/others"}}
	for name, target := range links {
		check(t, os.Symlink(target, data+name))
		check(t, os.Lchown(data+name, somebody, somebody))
		p.ReadDenyRoots = append(p.ReadDenyRoots, data+name)
		thing := strings.ReplaceAll(name, "/", "-")
		things, want[thing] = append(things, [2]string{thing, "cat " + data + name}), "no no"
	}
	h.twice(p, tries(things...), func(string) {
		for name := range links {
			check(t, os.Remove(data+name))
			tree(t, base+"/data", name)
		}
	}, want)
	// The same of what protect names.
	p = &policy.Policy{WorkspaceRoots: []string{"local", base + "/data"}, Extensions: policy.Extensions{Protect: []string{data + "kept"}}}
	check(t, os.Symlink("..", data+"kept"))
	check(t, os.Lchown(data+"kept", somebody, somebody))
	h.twice(p, tries([2]string{"file", "echo x >> " + data + "file"}, [2]string{"kept", "rm " + data + "kept"}), func(string) {}, map[string]string{"file": "yes yes", "kept": "no no"})
}

// What protect names stays as it is: it can be read, and neither changed, nor replaced, nor made.
func TestProtect(t *testing.T) {
	h := newHarness(t, nil)
	p := &policy.Policy{WorkspaceRoots: []string{"local/repo", "local/out"}, Extensions: policy.Extensions{Protect: []string{".git/hooks", ".mcp.json"}}}
	const repo = "$NOMAD_TASK_DIR/repo/"
	script := tries(
		[2]string{"read", "cat " + repo + ".git/hooks/pre-commit"}, [2]string{"change", "echo x >> " + repo + ".git/hooks/pre-commit"},
		[2]string{"add", "echo x > " + repo + ".git/hooks/post-commit"}, [2]string{"remove", "rm " + repo + ".git/hooks/pre-commit"},
		[2]string{"rename", "mv " + repo + ".git " + repo + "git2"}, [2]string{"replace", "mv " + repo + ".git/hooks " + repo + "src/"},
		[2]string{"make", "echo x > " + repo + ".mcp.json"}, [2]string{"link", "ln -s src/main.c " + repo + ".mcp.json"},
		[2]string{"chmod", "chmod 700 " + repo + ".git/hooks/pre-commit"}, [2]string{"moved", "echo x >> " + repo + "src/hooks/pre-commit"},
		[2]string{"config", "echo x >> " + repo + ".git/config"}, [2]string{"src", "echo x > " + repo + "src/new"}, [2]string{"out", "echo x > $NOMAD_TASK_DIR/out/sub/new"}, [2]string{"other", "echo x > $NOMAD_TASK_DIR/out/.mcp.json"},
	)
	h.twiceIn(p, script, func(local string) { tree(t, local+"/out", "sub/there") }, func(local string) {
		rename(t, local+"/repo/.git/hooks", local+"/repo/src/hooks")
		tree(t, local+"/repo", ".git/hooks/pre-commit", ".mcp.json")
	}, map[string]string{
		"read": "yes", "change": "no no", "add": "no no", "remove": "no no", "rename": "no no", "replace": "no no", "make": "no no", "link": "no no",
		"chmod": "no no", "moved": "no no", "config": "yes yes", "src": "yes yes", "out": "yes yes", "other": "no no",
	})
}

// Where a path leads through a file, as through .git of a worktree or a submodule, nothing
// can be there. So the file stays: it can be read, and neither replaced nor removed.
func TestMarksThroughAFile(t *testing.T) {
	h := newHarness(t, nil)
	p := &policy.Policy{
		WorkspaceRoots: []string{"local/repo", "local/out"},
		Extensions:     policy.Extensions{Protect: []string{".git/hooks"}, ReadDenyRoots: []string{"local/repo/README/secret/key"}},
	}
	const repo = "$NOMAD_TASK_DIR/repo/"
	script := tries(
		[2]string{"read", "cat " + repo + ".git"}, [2]string{"change", "echo x >> " + repo + ".git"}, [2]string{"remove", "rm " + repo + ".git"},
		[2]string{"replace", "mkdir " + repo + "src/d && mv -T " + repo + "src/d " + repo + ".git"}, [2]string{"rename", "mv " + repo + ".git " + repo + "src/"},
		[2]string{"readme", "cat " + repo + "README"}, [2]string{"unlink", "rm " + repo + "README"},
		[2]string{"hook", "echo x > " + repo + ".git/hooks/pre-commit"},
		[2]string{"src", "echo x > " + repo + "src/new"}, [2]string{"out", "echo x > $NOMAD_TASK_DIR/out"},
	)
	h.twiceIn(p, script, func(local string) {
		if err := os.RemoveAll(local + "/repo/.git"); err != nil {
			t.Fatal(err)
		}
		tree(t, local, "repo/.git", "out") // a workspace root that is a file holds no hooks, and is written to
	}, func(local string) {
		rename(t, local+"/repo/.git", local+"/repo/git2")
		tree(t, local+"/repo", ".git/hooks/there")
	}, map[string]string{
		"read": "yes", "change": "no no", "remove": "no no", "replace": "no no", "rename": "no no",
		"readme": "yes yes", "unlink": "no no", "hook": "no no", "src": "yes yes", "out": "yes yes",
	})
}

// What is wrong with such fields is one clear error.
func TestMarksAreRefused(t *testing.T) {
	h := newHarness(t, func(c *Config) {
		c.Presets = map[string]sandbox.Preset{"there": {ReadOnlyRoots: []string{"/usr/share"}}, "gone": {ReadOnlyRoots: []string{"/nowhere/x"}}}
	})
	base := filepath.Dir(h.config.StateDir)
	tree(t, base+"/data", "keys/id")
	if err := os.Symlink("/", base+"/data/all"); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		p    policy.Policy
		want []string
	}{
		"covers a root":            {policy.Policy{ReadOnlyRoots: []string{base + "/data/keys"}, Extensions: policy.Extensions{ReadDenyRoots: []string{base + "/data"}}}, []string{"read_only_roots", base + "/data/keys", "denied by read_deny_roots"}},
		"covers the workspace":     {policy.Policy{Extensions: policy.Extensions{ReadDenyRoots: []string{"."}}}, []string{"read_deny_roots[0]", "covers the workspace root"}},
		"covers it by a real path": {policy.Policy{Extensions: policy.Extensions{ReadDenyRoots: []string{base}}}, []string{"read_deny_roots", "covers the task's own directories"}},
		"is everything":            {policy.Policy{Extensions: policy.Extensions{ReadDenyRoots: []string{base + "/data/all"}}}, []string{"read_deny_roots", "whole file system"}},
		"is private":               {policy.Policy{Extensions: policy.Extensions{ReadDenyRoots: []string{"/proc/1"}}}, []string{"read_deny_roots", "/proc of its own"}},
		"a home by ~":              {policy.Policy{Extensions: policy.Extensions{ReadDenyRoots: []string{"~/.ssh"}}}, []string{"read_deny_roots[0]", "begins with ~"}},
		"unrestricted":             {policy.Policy{SandboxProfile: "unrestricted", Extensions: policy.Extensions{ReadDenyRoots: []string{base + "/data"}}}, []string{"read_deny_roots", "unrestricted"}},
		"protects nothing":         {policy.Policy{Extensions: policy.Extensions{Protect: []string{base + "/data"}}}, []string{"protect", base + "/data", "in no workspace root"}},
		"protects a root":          {policy.Policy{WorkspaceRoots: []string{base + "/data"}, Extensions: policy.Extensions{Protect: []string{base + "/data"}}}, []string{"protect", "is a workspace root", "read_only_roots"}},
		"no preset":                {policy.Policy{ProcessSandbox: &policy.ProcessSandbox{Presets: []string{"cobol"}}}, []string{"process_sandbox.presets", `no preset "cobol"`, "there", "${attr.driver.harn.preset.cobol}"}},
		"a preset misspelled":      {policy.Policy{ProcessSandbox: &policy.ProcessSandbox{Presets: []string{"user_tmp"}}}, []string{"process_sandbox.presets[0]", `did you mean "user_temp"`}},
		"a preset of what is gone": {policy.Policy{ProcessSandbox: &policy.ProcessSandbox{Presets: []string{"gone"}}}, []string{`"gone"`, "/nowhere", "${attr.driver.harn.preset.gone}"}},
		"loopback and ports":       {policy.Policy{ProcessSandbox: &policy.ProcessSandbox{AllowTCPLoopback: true}, Extensions: policy.Extensions{TCPBind: []int{80}}}, []string{"process_sandbox.allow_tcp_loopback", "tcp_bind"}},
	} {
		config := *h.driver.currentConfig()
		config.Ceiling = &policy.Policy{SandboxProfile: tc.p.SandboxProfile}
		h.driver.lock.Lock()
		h.driver.config = &config
		h.driver.lock.Unlock()
		_, _, err := h.StartTask(h.task(TaskConfig{Command: "/bin/true", Policy: &tc.p}))
		wantError(t, name, err, tc.want...)
	}
}

// Harn's places of credentials are closed in every home that a root shows, by any name of it, and what
// lies beside can be read. A ceiling's deny roots hold besides, and leave the task its own.
func TestCredentialsInHomes(t *testing.T) {
	if _, err := os.Stat("/home"); err != nil {
		t.Skip(err)
	}
	home, err := os.MkdirTemp("/home", "harn-test-")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	tree(t, home, ".ssh/id", ".config/gh/hosts.yml", ".config/gh/config.yml", "src/main.c", "denied/x")
	h := newHarness(t, func(c *Config) {
		c.Ceiling = &policy.Policy{Extensions: policy.Extensions{ReadDenyRoots: []string{home + "/denied", "/var/tmp/harn-driver-none"}}}
	})
	h.twice(&policy.Policy{WorkspaceRoots: []string{home, "local"}}, tries(
		[2]string{"ssh", "cat " + home + "/.ssh/id"}, [2]string{"gh", "cat " + home + "/.config/gh/hosts.yml"}, [2]string{"config", "cat " + home + "/.config/gh/config.yml"},
		[2]string{"aws", "cat " + home + "/.aws/credentials"}, [2]string{"make", "mkdir " + home + "/.aws"}, [2]string{"denied", "cat " + home + "/denied/x"},
		[2]string{"src", "echo x >> " + home + "/src/main.c"}, [2]string{"own", "echo x > local/new"},
	), func(string) {
		rename(t, home+"/.ssh", home+"/src/ssh")
		tree(t, home, ".ssh/id", ".aws/credentials")
	}, map[string]string{
		"ssh": "no no", "gh": "no no", "config": "yes yes", "aws": "no no", "make": "no no", "denied": "no no", "src": "yes yes", "own": "yes yes",
	})
	_, _, err = h.StartTask(h.task(TaskConfig{Command: "/bin/true", Policy: &policy.Policy{ReadOnlyRoots: []string{home + "/.ssh"}}}))
	wantError(t, "naming one", err, "read_only_roots", home+"/.ssh", "credentials")
	// What is to be kept as it is besides, there or above, is closed all the same.
	h.twice(&policy.Policy{WorkspaceRoots: []string{home, "local"}, Extensions: policy.Extensions{Protect: []string{".ssh", ".aws", ".config", "denied"}}}, tries(
		[2]string{"ssh", "cat " + home + "/.ssh/id"}, [2]string{"aws", "cat " + home + "/.aws/credentials"}, [2]string{"gh", "cat " + home + "/.config/gh/hosts.yml"},
		[2]string{"denied", "cat " + home + "/denied/x"}, [2]string{"write", "echo x > " + home + "/.ssh/new"},
		[2]string{"config", "cat " + home + "/.config/gh/config.yml"}, [2]string{"change", "echo x >> " + home + "/.config/gh/config.yml"}, [2]string{"src", "echo x >> " + home + "/src/main.c"},
	), func(string) {}, map[string]string{
		"ssh": "no no", "aws": "no no", "gh": "no no", "denied": "no no", "write": "no no", "config": "yes yes", "change": "no no", "src": "yes yes",
	})
}

// So they are where the home shows by another name: the same file system mounted elsewhere, or a
// link that leads out of it, also where the home itself is no root.
func TestCredentialsByOtherNames(t *testing.T) {
	if _, err := os.Stat("/home"); err != nil {
		t.Skip(err)
	}
	home, err := os.MkdirTemp("/home", "harn-test-")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	elsewhere, err := os.MkdirTemp("/var/tmp", "harn-elsewhere-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(elsewhere) })
	tree(t, home, ".ssh/id", "src/main.c")
	tree(t, elsewhere, "kube/config", "kube/cache")
	if err := os.Symlink(elsewhere+"/kube", home+"/.kube"); err != nil {
		t.Fatal(err)
	}
	// Links of a home's user close what is the user's, and nothing else.
	for name, target := range map[string]string{".gnupg": "/", ".netrc": elsewhere + "/kube/cache", ".npmrc": ".npmrc", ".composer": "..", ".docker": elsewhere + "/kube", ".config": elsewhere} {
		check(t, os.Symlink(target, home+"/"+name))
		check(t, os.Lchown(home+"/"+name, 12345, 12345))
	}
	check(t, os.Symlink(elsewhere+"/kube/own", home+"/.pypirc"))
	tree(t, elsewhere, "kube/own")
	check(t, errors.Join(os.Lchown(home+"/.pypirc", 12345, 12345), os.Chown(elsewhere+"/kube/own", 12345, 12345)))
	mounted := elsewhere + "/mounted"
	if err := os.Mkdir(mounted, 0o755); err != nil {
		t.Fatal(err)
	}
	mountOver(t, home, mounted)
	h := newHarness(t, nil)
	h.twice(&policy.Policy{WorkspaceRoots: []string{mounted, "local"}, ReadOnlyRoots: []string{elsewhere + "/kube"}}, tries(
		[2]string{"ssh", "cat " + mounted + "/.ssh/id"}, [2]string{"append", "echo x >> " + mounted + "/.ssh/id"}, [2]string{"aws", "cat " + mounted + "/.aws/credentials"},
		[2]string{"src", "cat " + mounted + "/src/main.c"}, [2]string{"config", "cat " + elsewhere + "/kube/config"}, [2]string{"cache", "cat " + elsewhere + "/kube/cache"}, [2]string{"own", "cat " + elsewhere + "/kube/own"},
	), func(string) { tree(t, home, ".aws/credentials") }, map[string]string{
		"ssh": "no no", "append": "no no", "aws": "no no", "src": "yes yes", "config": "no no", "cache": "yes yes", "own": "no no",
	})
	for _, root := range []string{mounted + "/.ssh", elsewhere + "/kube/config"} {
		_, _, err = h.StartTask(h.task(TaskConfig{Command: "/bin/true", Policy: &policy.Policy{ReadOnlyRoots: []string{root}}}))
		wantError(t, "naming one", err, "read_only_roots", root, "protected")
	}
}

// keeps starts a task that tries to change and to replace files, and to write beside them. What was
// there before is there after.
func (h *harness) keeps(name string, p policy.Policy, mounts []*drivers.MountConfig, kept, seen string) {
	h.t.Helper()
	task := sh(strings.ReplaceAll("{ cat DIR/.git/hooks/pre-commit && echo x >> DIR/.git/config && echo beside; echo x >> DIR/.git/hooks/pre-commit || echo kept; "+
		"mv DIR/.git/hooks DIR/src/ || echo stays; mkdir DIR/.git/hooks/new || echo none new; } 2>/dev/null; echo end", "DIR", seen))
	task.Policy = &p
	cfg := h.task(task)
	cfg.Mounts = mounts
	h.start(cfg)
	h.wait(cfg.ID)
	if got := h.log(cfg, "stdout", "end\n"); got != "text of .git/hooks/pre-commit\nbeside\nkept\nstays\nnone new\nend\n" {
		h.t.Errorf("%s: got\n%s", name, got)
	}
	if text, err := os.ReadFile(kept + "/.git/hooks/pre-commit"); err != nil || string(text) != "text of .git/hooks/pre-commit\n" {
		h.t.Errorf("%s: %q, %v", name, text, err)
	}
}

// protectedRepo makes a repository outside of /tmp, of which a task has its own.
func protectedRepo(t *testing.T) string {
	t.Helper()
	base, err := os.MkdirTemp("/var/tmp", "harn-protect-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	tree(t, base, "repo/.git/config", "repo/src/main.c", "file")
	tree(t, base+"/repo", ".git/hooks/pre-commit")
	return base
}

// What a ceiling's protect names by an absolute path stays, whatever it is shown by: a root below it is
// refused, and it is kept where it is mounted elsewhere, and in a volume.
func TestCeilingsProtectHasNoOtherName(t *testing.T) {
	base := protectedRepo(t)
	repo, again := base+"/repo", base+"/again"
	protect := policy.Extensions{Protect: []string{repo + "/.git/hooks"}}
	h := newHarness(t, func(c *Config) { c.Ceiling = &policy.Policy{Extensions: protect} })
	for _, root := range []string{repo + "/.git/hooks/pre-commit", repo + "/.git/hooks"} {
		_, _, err := h.StartTask(h.task(TaskConfig{Command: "/bin/true", Policy: &policy.Policy{WorkspaceRoots: []string{root}}}))
		wantError(t, root, err, "protect", root, "read_only_roots")
	}
	if err := os.Mkdir(again, 0o755); err != nil {
		t.Fatal(err)
	}
	mountOver(t, repo, again)
	volume := func(source, at string) []*drivers.MountConfig {
		return []*drivers.MountConfig{{HostPath: source, TaskPath: at}}
	}
	h.keeps("the same file system elsewhere", policy.Policy{WorkspaceRoots: []string{again}}, nil, repo, again)
	h.keeps("a volume", policy.Policy{}, volume(repo, "/srv/volume"), repo, "/srv/volume")
	h.keeps("a volume by another name", policy.Policy{}, volume(again, "/srv/volume"), repo, "/srv/volume")
	// A job can name what its own volume shows.
	newHarness(t, nil).keeps("the job's own", policy.Policy{Extensions: protect}, volume(repo, "/srv/volume"), repo, "/srv/volume")
}

// A relative protect is meant below whatever the task may write, whoever has granted it.
func TestProtectInEveryWorkspaceRoot(t *testing.T) {
	base := protectedRepo(t)
	repo := base + "/repo"
	protect := policy.Extensions{Protect: []string{".git/hooks"}}
	volumes := []*drivers.MountConfig{{HostPath: repo, TaskPath: "/srv/volume"}, {HostPath: base + "/file", TaskPath: "/srv/file"}}
	for _, ceiling := range []bool{false, true} {
		h := newHarness(t, func(c *Config) {
			c.Presets = map[string]sandbox.Preset{"repo": {WorkspaceRoots: []string{repo}}}
			if ceiling {
				c.Ceiling = &policy.Policy{Extensions: protect}
			}
		})
		for name, tc := range map[string]struct {
			p      policy.Policy
			mounts []*drivers.MountConfig
			seen   string
		}{
			"workspace_roots": {policy.Policy{WorkspaceRoots: []string{repo}}, nil, repo},
			"write_roots":     {policy.Policy{ProcessSandbox: &policy.ProcessSandbox{WriteRoots: []string{repo}}}, nil, repo},
			"preset":          {policy.Policy{ProcessSandbox: &policy.ProcessSandbox{Presets: []string{"repo"}}}, nil, repo},
			"volume":          {policy.Policy{}, volumes, "/srv/volume"},
		} {
			if !ceiling {
				tc.p.Extensions = protect
			}
			h.keeps(fmt.Sprintf("%s, ceiling %v", name, ceiling), tc.p, tc.mounts, repo, tc.seen)
		}
	}
	// A volume that is a file holds nothing to be kept: it is written to.
	h := newHarness(t, nil)
	task := sh("echo x >> /srv/file && echo written")
	task.Policy = &policy.Policy{Extensions: protect}
	cfg := h.task(task)
	cfg.Mounts = volumes
	h.start(cfg)
	h.wait(cfg.ID)
	h.log(cfg, "stdout", "written\n")
}

// A ceiling's protect is for jobs that can change what it names; others start.
func TestCeilingsProtectRefusesNoOtherJob(t *testing.T) {
	base := t.TempDir()
	tree(t, base, "shared/kept", "other/file")
	h := newHarness(t, func(c *Config) {
		c.Ceiling = &policy.Policy{Extensions: policy.Extensions{Protect: []string{base + "/shared/kept"}}}
	})
	h.start(h.task(TaskConfig{Command: "/bin/true", Policy: &policy.Policy{WorkspaceRoots: []string{"local"}}}))
	_, _, err := h.StartTask(h.task(TaskConfig{Command: "/bin/true", Policy: &policy.Policy{WorkspaceRoots: []string{"local"}, Extensions: policy.Extensions{Protect: []string{base + "/other/file"}}}}))
	wantError(t, "the job's own", err, "protect", base+"/other/file", "in no workspace root")
}

// A task with a loopback talks TCP to itself, and to nobody else.
func TestLoopback(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	port := listener.Addr().(*net.TCPAddr).Port
	h := newHarness(t, nil)
	lines := []string{
		"def own(f, a):\n l = s.socket(f); l.bind((a, 0)); l.listen(); c = s.socket(f); c.connect(l.getsockname()); c.send(b'x'); assert l.accept()[0].recv(1) == b'x'",
		"t('v4', lambda: own(s.AF_INET, '127.0.0.1'))", "t('v6', lambda: own(s.AF_INET6, '::1'))",
		fmt.Sprintf("t('host', lambda: s.create_connection(('127.0.0.1', %d), 2))", port),
		"t('out', lambda: s.create_connection(('192.0.2.1', 80), 2))",
		"t('udp', lambda: s.socket(s.AF_INET, s.SOCK_DGRAM))", "t('packet', lambda: s.socket(s.AF_PACKET, s.SOCK_RAW))",
		"t('pair', lambda: s.socketpair())", "print([n for _, n in s.if_nameindex()])",
	}
	for name, tc := range map[string]struct {
		p    policy.Policy
		want string
	}{
		"loopback": {
			policy.Policy{SideEffectLevel: "process_exec", ProcessSandbox: &policy.ProcessSandbox{AllowTCPLoopback: true}},
			"v4 OK\nv6 OK\nhost ECONNREFUSED\nout ENETUNREACH\nudp EPERM\npacket EPERM\npair OK\n['lo']\nend\n",
		},
		"none": {
			policy.Policy{SideEffectLevel: "process_exec"},
			"v4 EPERM\nv6 EPERM\nhost EPERM\nout EPERM\nudp EPERM\npacket EPERM\npair OK\n",
		},
	} {
		use := lines
		if name == "none" {
			use = lines[:len(lines)-1] // which needs a socket
			tc.want += "end\n"
		}
		if got := h.python(tc.p, use...); got != tc.want {
			t.Errorf("%s: got\n%s", name, got)
		}
	}
}

// An operator's preset gives roots and variables, to tasks and to their sessions, by name or by default.
func TestPresets(t *testing.T) {
	h := newHarness(t, nil)
	base := filepath.Dir(h.config.StateDir)
	tree(t, base+"/tools", "bin/tool", "share/x")
	tree(t, base+"/cache", "x")
	if err := os.WriteFile(base+"/tools/bin/tool", []byte("#!/bin/sh\necho tool of $TOOL_HOME\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	preset := sandbox.Preset{
		ReadOnlyRoots: []string{base + "/tools"}, WorkspaceRoots: []string{base + "/cache"},
		Env: map[string]string{"PATH": base + "/tools/bin", "TOOL_HOME": base + "/tools", "GREETING": "not the job's"},
	}
	// A ceiling of roots does not limit what the operator himself has put together.
	none := &policy.Policy{WorkspaceRoots: []string{}, ReadOnlyRoots: []string{}}
	script := "tool; echo $GREETING; echo x >> " + base + "/cache/x && echo cached; echo x 2>/dev/null >> " + base + "/tools/share/x || echo kept\n"
	want := "tool of " + base + "/tools\nhello\ncached\nkept\n"
	for name, tc := range map[string]struct {
		defaults []string
		p        *policy.Policy
		want     string
	}{
		"by name":    {nil, &policy.Policy{ProcessSandbox: &policy.ProcessSandbox{Presets: []string{"tools", "system_runtime", "user_temp"}}}, want},
		"by default": {[]string{"tools"}, &policy.Policy{}, want},
		"none":       {[]string{"tools"}, &policy.Policy{ProcessSandbox: &policy.ProcessSandbox{Presets: []string{}}}, "hello\nkept\n"},
	} {
		config := *h.driver.currentConfig()
		config.Presets, config.DefaultPresets, config.Ceiling = map[string]sandbox.Preset{"tools": preset}, tc.defaults, none
		if err := config.validate(); err != nil {
			t.Fatal(err)
		}
		h.driver.lock.Lock()
		h.driver.config = &config
		h.driver.lock.Unlock()
		task := sh(script + "while [ ! -e $NOMAD_TASK_DIR/go ]; do sleep 0.02; done")
		task.Policy = tc.p
		cfg := h.task(task)
		h.start(cfg)
		if got := h.log(cfg, "stdout", "kept\n"); got != tc.want {
			t.Errorf("%s: got\n%s", name, got)
		}
		if tc.want == want {
			result, err := h.ExecTask(cfg.ID, []string{"tool"}, 10*time.Second)
			if err != nil || string(result.Stdout) != "tool of "+base+"/tools\n" {
				t.Errorf("%s: a session: %+v, %v", name, result, err)
			}
		}
		if err := h.DestroyTask(cfg.ID, true); err != nil {
			t.Error(err)
		}
	}
}

// The operator's presets are attributes of the node, by what is there.
func TestPresetsAreAdvertised(t *testing.T) {
	t.Setenv(sandbox.FallbackVariable, "")
	config, err := parseConfig(t, `
preset "tools" {
  read_only_roots = ["/usr/share"]
  env { TOOL_HOME = "/usr/share" }
}
preset "gone" {
  workspace_roots = ["/nowhere/x"]
}
default_presets = ["tools", "system_runtime"]`)
	if err != nil {
		t.Fatal(err)
	}
	if got := config.Presets["tools"]; got.Env["TOOL_HOME"] != "/usr/share" || len(got.ReadOnlyRoots) != 1 {
		t.Errorf("%+v", config.Presets)
	}
	here, _ := json.Marshal(config.PresetsHere())
	if string(here) != `{"gone":false,"tools":true}` {
		t.Errorf("%s", here)
	}
	for text, want := range map[string]string{
		`default_presets = ["cobol"]`:                  `default_presets[0]: the operator has no preset "cobol"`,
		"preset \"Big\" {\n}":                          `unknown preset "Big"`,
		"preset \"x\" {\nread_only_roots = [\"y\"]\n}": `preset "x": read_only_roots[0]: "y"`,
		"preset \"x\" {\nenv { NOMAD_X = \"y\" }\n}":   `"NOMAD_X"`,
		"preset \"x\" {\n}\ndefault_presets = [\"x\"]\nceiling {\nprocess_sandbox {\npresets = [\"y\"]\n}\n}": `"x" exceeds the ceiling's process_sandbox.presets`,
		"ceiling {\nread_deny_roots = [\"x\"]\n}":                                                             `read_deny_roots: root "x" is relative`,
	} {
		_, err := parseConfig(t, text)
		wantError(t, text, err, want)
	}
}
