// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// tree makes files: of a value that begins with "-> " a link, else a program of
// that content, in which @ stands for the directory.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		content = strings.ReplaceAll(content, "@", dir)
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(content), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// One error names all that is missing, and adding that is enough.
func TestToolchainsOutsideOfTheSystem(t *testing.T) {
	const shell, node = "#!/bin/sh\n", "#!/usr/bin/env harn-node\n"
	dir := tree(t, map[string]string{
		"opt/tool/bin/tool": shell,
		"opt/flat/tool":     shell,
		"home/.nvm/versions/node/v20/bin/harn-node":                       shell,
		"home/.nvm/versions/node/v20/bin/npm":                             "-> ../lib/node_modules/npm/bin/npm-cli.js",
		"home/.nvm/versions/node/v20/lib/node_modules/npm/bin/npm-cli.js": node,
		"home/.cargo/bin/rustup":                                          shell,
		"home/.cargo/bin/cargo":                                           "-> rustup",
		"home/.rustup/toolchains/stable/bin/cargo":                        shell,
		"home/.pyenv/shims/python":                                        "#!/usr/bin/env bash\n",
		"opt/py/bin/python3":                                              shell,
		"local/script":                                                    "#!@/opt/py/bin/python3 -E\n",
		"local/venv/bin/python":                                           "-> @/opt/py/bin/python3",
		"local/venv/bin/pip":                                              "#!@/local/venv/bin/python\n",
		"local/app":                                                       node,
		"local/two":                                                       "#!/usr/bin/env -S missing-program\n",
		"links/bin/tool":                                                  "-> @/opt/tool/bin/tool",
		"opt/java/jdk-21/bin/java":                                        shell,
		"opt/java/current":                                                "-> jdk-21",
		"opt/app/node_modules/.bin/tsc":                                   "-> ../typescript/bin/tsc",
		"opt/app/node_modules/typescript/bin/tsc":                         node,
		"opt/wrap/bin/wrap":                                               "#!@/opt/py/bin/python3\n",
		"opt/${x}/bin/tool":                                               shell,
	})
	path := dir + "/home/.nvm/versions/node/v20/bin:/usr/bin:/bin"
	const nvm = "home/.nvm/versions/node/v20"
	for command, want := range map[string][]string{
		"opt/tool/bin/tool":             {"opt/tool"},
		"opt/flat/tool":                 {"opt/flat"},
		nvm + "/bin/harn-node":          {nvm},
		nvm + "/bin/npm":                {nvm},
		"home/.cargo/bin/cargo":         {"home/.cargo", "home/.rustup"},
		"home/.pyenv/shims/python":      {"home/.pyenv"},
		"local/script":                  {"opt/py"},
		"local/venv/bin/python":         {"opt/py"},
		"local/venv/bin/pip":            {"opt/py"},
		"local/app":                     {nvm},
		"local/two":                     nil,
		"links/bin/tool":                {"opt/tool"}, // without a private root, links show
		"opt/java/current/bin/java":     {"opt/java/current"},
		"opt/app/node_modules/.bin/tsc": {"opt/app/node_modules", nvm},
		"opt/wrap/bin/wrap":             {"opt/wrap", "opt/py"},
		"opt/${x}/bin/tool":             {"opt/${x}"},
	} {
		roots := []string{dir + "/local"}
		for _, root := range want {
			roots = append(roots, filepath.Join(dir, root))
		}
		f := &finder{view: viewOf(roots[0]), taskDir: dir, path: path}
		_, err := f.find(dir + "/" + command)
		var outside *outsideError
		switch {
		case len(want) == 0:
			if err != nil {
				t.Errorf("%s: %v", command, err)
			}
			continue
		case !errors.As(err, &outside):
			t.Errorf("%s: %v, want an error that names %q", command, err, want)
			continue
		case !slices.Equal(outside.roots, roots[1:]):
			t.Errorf("%s: needs %q, want %q", command, outside.roots, roots[1:])
		}
		if quoted := `"` + strings.ReplaceAll(roots[1], "${", "$${") + `"`; !strings.Contains(err.Error(), quoted) {
			t.Errorf("%s: %v, want it to say %s", command, err, quoted)
		}
		// What was named is enough.
		f.view = viewOf(append([]string{roots[0]}, realPaths(outside.roots)...)...)
		if got, err := f.find(dir + "/" + command); err != nil || got != dir+"/"+command {
			t.Errorf("%s: with what was named: %s, %v", command, got, err)
		}
	}
}

// In a root of its own, a task sees a link only where a root shows it.
func TestLinksToToolchains(t *testing.T) {
	dir := tree(t, map[string]string{
		"links/bin/tool":    "-> @/opt/tool/bin/tool",
		"opt/tool/bin/tool": "#!/bin/sh\n",
	})
	v := viewOf(dir + "/opt/tool")
	v.private = true
	v.mounts = append(topLevel(true), bindAll(append(realPaths(defaultSystemReadRoots), dir+"/opt/tool"), true)...)
	f := &finder{view: v, taskDir: dir, readOnly: []string{"/srv/first"}}
	_, err := f.find(dir + "/links/bin/tool")
	wantError(t, "a link", err, `read_only_roots = ["/srv/first", "`+dir+`/links"]`)
	if _, err := f.find(dir + "/opt/tool/bin/tool"); err != nil {
		t.Error(err)
	}
}

// Of what Debian's alternatives lead to, each name works as a command: with /etc as an
// overlay, and without.
func TestAlternatives(t *testing.T) {
	kerneltest.Root(t)
	commands := []string{"/usr/bin/sh"} // on a host without alternatives
	links, err := filepath.Glob("/usr/bin/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		target, _ := os.Readlink(link)
		if program, err := filepath.EvalSymlinks(link); err == nil && filepath.Dir(target) == "/etc/alternatives" && isProgram(program) && landlock.Beneath("/usr", program) {
			commands = append(commands, link)
		}
	}
	t.Logf("%d commands", len(commands))
	for _, without := range []bool{false, true} {
		dirs := testDirs(t)
		dirs.NoOverlays = without
		f := &finder{view: viewOfTask(t, dirs, &policy.Policy{}), taskDir: dirs.Task, path: defaultPath}
		for _, command := range commands {
			for _, name := range []string{command, filepath.Base(command)} {
				if _, err := f.find(name); err != nil {
					t.Errorf("%s, without overlays %v: %v", name, without, err)
				}
			}
		}
		// What is hidden in /etc leads nowhere.
		if etc := f.nearest("/etc/shadow"); etc.hides("/etc/shadow") && f.reaches("/etc/shadow") {
			t.Error("a task reaches what is hidden")
		}
	}
}

// viewOfTask is what the driver shows to a task with these directories.
func viewOfTask(t *testing.T, dirs *Dirs, p *policy.Policy) *view {
	t.Helper()
	settings, err := Defaults()
	if err != nil {
		t.Fatal(err)
	}
	node := policy.Node{ABI: 7} // of whatever kernel this one is: nothing is started
	s, err := decide(settings, &Host{Node: node, Cores: 1}, &Task{Dirs: *dirs}, &Request{Policy: p}, &account{anyone: true}, policy.Resolve)
	if err != nil {
		t.Fatal(err)
	}
	return s.view
}

// ldd(1) says what a binary takes: all of it is in the roots that are named.
func TestBinaryTakesItsLibraries(t *testing.T) {
	const program = "/usr/bin/env"
	out, err := exec.Command("ldd", program).Output()
	if err != nil {
		t.Skipf("ldd: %v", err)
	}
	f := &finder{view: &view{ruleset: &landlock.Ruleset{HandledFS: landlock.Execute}}}
	_, err = f.find(program)
	var outside *outsideError
	if !errors.As(err, &outside) {
		t.Fatal(err)
	}
	found := 0
	for _, word := range strings.Fields(string(out)) {
		if !filepath.IsAbs(word) {
			continue
		}
		found++
		actual, err := filepath.EvalSymlinks(word)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(realPaths(outside.roots), func(root string) bool { return landlock.Beneath(root, actual) }) {
			t.Errorf("%s (%s) is in none of %q", word, actual, outside.roots)
		}
	}
	if found < 2 {
		t.Errorf("ldd named %d files:\n%s", found, out)
	}
}

func TestInstallation(t *testing.T) {
	for file, want := range map[string]string{
		"/opt/x/bin/x":                          "/opt/x",
		"/opt/x/jre/bin/java":                   "/opt/x/jre",
		"/opt/bin/x":                            "/opt/bin", // not all of /opt
		"/opt/x":                                "/opt/x",   // a file
		"/opt/x/x":                              "/opt/x",
		"/root/x":                               "/root/x",
		"/root/bin/x":                           "/root/bin", // never a home
		"/home/me/bin/x":                        "/home/me/bin",
		"/home/me/.local/bin/x":                 "/home/me/.local/bin",
		"/home/me/x":                            "/home/me/x",
		"/home/me/.cargo/bin/cargo":             "/home/me/.cargo",
		"/usr/local/bin/x":                      "/usr/local/bin",
		"/usr/local/go/bin/go":                  "/usr/local/go",
		"/opt/node/lib/node_modules/npm/bin/np": "/opt/node",
		"/opt/app/node_modules/x/bin/x.js":      "/opt/app/node_modules",
		"/usr/lib/node_modules/npm/bin/npm":     "/usr/lib/node_modules",
		"/opt/g/lib/x86_64-linux-gnu/libg.so.1": "/opt/g",
		"/var/lib/dpkg/info/x":                  "/var/lib/dpkg/info", // no installation in /var
		"/x":                                    "/x",
		"/bin/x":                                "/bin",
	} {
		if got := installation(file); got != want {
			t.Errorf("%s: %s, want %s", file, got, want)
		}
	}
}

// Directories above a root do not matter, those in it do.
func TestRootsThatOthersMayNotRead(t *testing.T) {
	dir := tree(t, map[string]string{"home/tool/bin/tool": "#!/bin/sh\n"})
	f := &finder{view: viewOf(), taskDir: dir}
	chmod := func(name string, mode os.FileMode) {
		if err := os.Chmod(dir+name, mode); err != nil {
			t.Fatal(err)
		}
	}
	chmod("/home", 0o700)
	if _, err := f.find(dir + "/home/tool/bin/tool"); err == nil || strings.Contains(err.Error(), "chmod") {
		t.Errorf("a directory above the root: %v", err)
	}
	chmod("/home/tool/bin", 0o700)
	_, err := f.find(dir + "/home/tool/bin/tool")
	wantError(t, "in the root", err, "no access", `"`+dir+`/home/tool/bin"`, "chmod")
}
