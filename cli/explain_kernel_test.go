// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/cli/command"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// trials is a program that tries what a task could do with paths: a line of
// letters for each.
const trials = `
import os, socket, sys
def attempt(letter, f):
    try:
        f()
        return letter
    except OSError:
        return "-"
def write(path):
    if os.path.isdir(path):
        os.close(os.open(path + "/made", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    else:
        os.close(os.open(path, os.O_WRONLY))
def read(path):
    if os.path.isdir(path):
        os.listdir(path)
    elif not os.read(os.open(path, os.O_RDONLY), 1) and path != "/dev/null":
        raise OSError() # what covers a file is empty
def execute(path):
    if os.path.isdir(path):
        raise OSError()
    if os.spawnv(os.P_WAIT, path, [path]) != 0:
        raise OSError()
for path in sys.argv[1:]:
    print(attempt("r", lambda: read(path)) + attempt("w", lambda: write(path)) + attempt("x", lambda: execute(path)))
s = "allowed"
try:
    socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()
except OSError:
    s = "denied"
print(s)
`

// claimed is what an explanation says of a path: the longest path decides that
// it is in.
func claimed(e *command.Explanation, path string) landlock.AccessFS {
	var access landlock.AccessFS
	longest := -1
	for _, f := range e.Files {
		dir, inside := strings.CutSuffix(f.Path, "/*")
		if landlock.Beneath(dir, path) && (!inside || dir != path) && len(f.Path) >= longest {
			longest = len(f.Path)
			if err := access.UnmarshalText([]byte(strings.Trim(f.Rights, "{}"))); err != nil {
				panic(err)
			}
		}
	}
	for _, masked := range e.Masked {
		if landlock.Beneath(masked, path) {
			return 0
		}
	}
	return access
}

// What explain claims is what the kernel does, for policies that nobody has
// thought of.
func TestExplainEqualsKernel(t *testing.T) {
	dir, here := place(t, `{}`), place(t, `{}`)
	prepare := func(path string, directory bool) {
		path = filepath.Join(dir, path)
		var err error
		if directory {
			err = os.MkdirAll(path, 0o755)
		} else {
			var program []byte
			if program, err = os.ReadFile("/bin/true"); err == nil {
				err = os.WriteFile(path, program, 0o755)
			}
		}
		if err == nil {
			err = os.Chown(path, 65534, 65534)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var directories, files []string
	for _, a := range []string{"a", "b"} {
		for _, d := range []string{a, a + "/1", a + "/1/deep", a + "/2"} {
			prepare(d, true)
			prepare(d+"/file", false)
			directories, files = append(directories, filepath.Join(dir, d)), append(files, filepath.Join(dir, d, "file"))
		}
	}
	fixed := []string{"/usr/bin/true", "/etc/passwd", "/etc/shadow", "/root", "/var/lib/dpkg/status", "/usr", "/dev/null", "/dev", "/tmp", "/srv"}
	paths := slices.Concat(directories, files, fixed)
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	some := func(of []string, most int) []string {
		chosen := []string{}
		for range random.IntN(most + 1) {
			if one := of[random.IntN(len(of))]; !slices.Contains(chosen, one) {
				chosen = append(chosen, one)
			}
		}
		return chosen
	}
	admitted, denied := map[string]int{}, map[string]int{}
	for i := range 25 {
		p := &policy.Policy{SandboxProfile: []string{"worktree", "os_hardened"}[random.IntN(2)]}
		p.SideEffectLevel = []string{"", "read_only", "network"}[random.IntN(3)]
		p.WorkspaceRoots = some(append(directories, files...), 3)
		p.ReadOnlyRoots = slices.DeleteFunc(some(append(directories, files...), 3), func(root string) bool { return slices.Contains(p.WorkspaceRoots, root) })
		if i == 0 { // one within the other, and once more
			p.WorkspaceRoots = []string{filepath.Join(dir, "a"), filepath.Join(dir, "a/1/deep")}
			p.ReadOnlyRoots = []string{filepath.Join(dir, "a/1")}
		}
		if len(p.WorkspaceRoots) == 0 { // the task directory would be
			p.WorkspaceRoots = []string{filepath.Join(dir, "inner")}
		}
		if i > 0 && random.IntN(2) == 0 {
			p.Capabilities = map[string][]string{"workspace": some([]string{"read_text", "list", "write_text", "delete", "exists"}, 3)}
		}
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(here, "p.json")
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
		status, out, errs := call("explain", "-json", "-policy", file)
		var e command.Explanation
		if err := json.Unmarshal([]byte(out), &e); status != 0 || err != nil {
			t.Fatalf("%s: %d %v %s", text, status, err, errs)
		}
		status, out, errs = callRun(t, here, "root", append([]string{"-quiet", "--", "python3", "-c", trials}, paths...)...)
		lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
		if status != 0 || len(lines) != len(paths)+1 {
			t.Fatalf("%s: %d %s\n%s", text, status, out, errs)
		}
		for i, path := range paths {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			access := claimed(&e, path)
			want := expectation(path, info.IsDir(), access, strings.HasPrefix(path, dir) || path == "/tmp" || path == "/dev/null")
			if lines[i] != want {
				t.Errorf("seed %d: %s\n%s: the kernel admits %s, explain claims %s: %v", seed, text, path, lines[i], want, access)
			}
			for j, letter := range "rwx" {
				if want[j] == '-' {
					denied[string(letter)]++
				} else {
					admitted[string(letter)]++
				}
			}
			_ = os.Remove(filepath.Join(path, "made"))
		}
		if got := lines[len(paths)]; got != e.Network {
			t.Errorf("seed %d: %s: network %s, explain claims %s", seed, text, got, e.Network)
		}
	}
	for _, letter := range []string{"r", "w", "x"} {
		if admitted[letter] < 20 || denied[letter] < 20 {
			t.Errorf("%s: %d admitted, %d denied: the policies tell nothing", letter, admitted[letter], denied[letter])
		}
	}
}

// expectation is what a program can do that has the access. own are files that
// its user may change.
func expectation(path string, directory bool, access landlock.AccessFS, own bool) string {
	out := []byte("---")
	set := func(i int, right landlock.AccessFS) {
		if access&right == right {
			out[i] = "rwx"[i]
		}
	}
	if directory {
		set(0, landlock.ReadDir)
		if own {
			set(1, landlock.MakeReg|landlock.WriteFile)
		}
		return string(out)
	}
	set(0, landlock.ReadFile)
	if own {
		set(1, landlock.WriteFile)
	}
	if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
		set(2, landlock.Execute|landlock.ReadFile)
	}
	return string(out)
}
