// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"

	"github.com/burin-labs/nomad-driver-harn/policy"
)

// The kernel is asked, not the driver: each file holds a word of its own, and a
// task says which words it has read, and adds to each file what it can. What a
// task may see and change follows from two sentences of the README: what is
// masked is not there, whatever becomes of its name, and read-only roots stay as
// they are, in writable ones, too.

// walker reads and writes all that is beneath its arguments, twice: at first,
// and when the host has changed something.
const walker = `
import os, sys, time
local = os.environ["NOMAD_TASK_DIR"]
for turn in "1", "2":
    out = open(local + "/seen" + turn, "w")
    for root in sys.argv[1:]:
        places = [root]
        for top, dirs, names in os.walk(root):
            places += [os.path.join(top, n) for n in names + dirs]
        for place in places:
            try: out.write(open(place).read() + "\n")
            except OSError: pass
            for change in (lambda: open(place, "a").write("CHANGED" + turn), lambda: open(place + "/made" + turn, "w").write("CHANGED" + turn),
                           lambda: os.rename(place, place + ".moved"), lambda: os.rename(place + ".moved", place), lambda: os.unlink(place + "/made" + turn)):
                try: change()
                except OSError: pass
    out.close()
    open(local + "/done" + turn, "w").close()
    while turn == "1" and not os.path.exists(local + "/go"): time.sleep(0.01)
`

// universe is a small tree of directories and files.
type universe struct {
	t    *testing.T
	base string
	word int
	rand *rand.Rand
}

func (u *universe) dir(path string) {
	if err := os.MkdirAll(path, 0o777); err != nil {
		u.t.Fatal(err)
	}
	_ = os.Chmod(path, 0o777)
}

// file makes a file, or replaces one by rename, with a new word.
func (u *universe) file(path string) string {
	u.word++
	word := fmt.Sprintf("word%d.", u.word)
	err := os.WriteFile(path+".new", []byte(word), 0o666)
	if err == nil {
		err = os.Chmod(path+".new", 0o666)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		u.t.Fatal(err)
	}
	return word
}

// words are those in the files at and beneath a path.
func (u *universe) words(path string) map[string]string {
	found := map[string]string{}
	_ = filepath.WalkDir(path, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			text, _ := os.ReadFile(path)
			found[path] = string(text)
		}
		return nil
	})
	return found
}

func (u *universe) some(of []string, most int) []string {
	chosen := []string{}
	for range u.rand.IntN(most + 1) {
		if one := of[u.rand.IntN(len(of))]; !slices.Contains(chosen, one) {
			chosen = append(chosen, one)
		}
	}
	return chosen
}

// under reports whether a path is one of the roots or beneath it; the oracle has
// its own, by components.
func under(roots []string, path string) bool {
	for p := path; ; p = filepath.Dir(p) {
		if slices.Contains(roots, p) {
			return true
		}
		if p == "/" {
			return false
		}
	}
}

// deepest is the longest root that holds a path, "" if none does.
func deepest(roots []string, path string) string {
	best := ""
	for _, root := range roots {
		if under([]string{root}, path) && len(root) > len(best) {
			best = root
		}
	}
	return best
}

// change is what hosts do to files: replace them by rename, make them anew, move
// the directory that they are in.
func (u *universe) change(path string, counted map[string]bool) string {
	kind := u.rand.IntN(3)
	switch parent := filepath.Dir(path); {
	case kind == 0 && parent != u.base:
		if os.Rename(parent, parent+".away") == nil {
			u.dir(parent)
		}
	case kind == 1:
		_ = os.Rename(path, path+".away")
	}
	u.dir(filepath.Dir(path))
	if info, err := os.Lstat(path); err == nil && info.IsDir() || err != nil && u.rand.IntN(2) == 0 {
		_ = os.RemoveAll(path)
		u.dir(path)
		counted[u.file(path+"/f")] = true
	} else {
		counted[u.file(path)] = true
	}
	return []string{"parent replaced", "moved and made anew", "replaced"}[kind]
}

// outermostOf leaves out what lies in others.
func outermostOf(paths []string) []string {
	return slices.DeleteFunc(slices.Clone(paths), func(path string) bool { return under(paths, filepath.Dir(path)) })
}

func TestProtectedPlacesEqualKernel(t *testing.T) {
	seed := rand.Uint64()
	if again, err := strconv.ParseUint(os.Getenv("HARN_PLACES_SEED"), 10, 64); err == nil {
		seed = again
	}
	t.Logf("seed %d: HARN_PLACES_SEED repeats it", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	read, refused, closed, kept, changed := 0, 0, 0, 0, 0
	for round := range 20 {
		u := &universe{t: t, rand: random}
		var masked []string
		h := newHarness(t, func(c *Config) {
			u.base = filepath.Join(filepath.Dir(c.StateDir), "u")
			u.dir(u.base)
		})
		var all []string
		for _, a := range []string{"a", "b"} {
			for _, d := range []string{a, a + "/1", a + "/1/deep", a + "/2"} {
				u.dir(filepath.Join(u.base, d))
				for _, f := range []string{"f", "g"} {
					u.file(filepath.Join(u.base, d, f))
					all = append(all, filepath.Join(u.base, d, f))
				}
				all = append(all, filepath.Join(u.base, d))
			}
		}
		if err := os.Symlink("a", u.base+"/link"); err != nil {
			t.Fatal(err)
		}
		masked = u.some(append(slices.Clone(all), u.base+"/a/later", u.base+"/b/1/later"), 2)
		h.config.MaskedPaths = slices.Clone(masked)
		for i, path := range h.config.MaskedPaths { // some of them by a link
			if rest, ok := strings.CutPrefix(path, u.base+"/a/"); ok && random.IntN(2) == 0 {
				h.config.MaskedPaths[i] = u.base + "/link/" + rest
			}
		}
		h.connect()
		p := &policy.Policy{WorkspaceRoots: u.some(all, 2)}
		p.ReadOnlyRoots = slices.DeleteFunc(u.some(all, 2), func(root string) bool { return slices.Contains(p.WorkspaceRoots, root) })
		roots := slices.Concat(p.WorkspaceRoots, p.ReadOnlyRoots)
		workspace := slices.Clone(p.WorkspaceRoots)
		p.WorkspaceRoots = append(p.WorkspaceRoots, "local")
		cfg := h.task(TaskConfig{})
		var targets, sources []string
		for i, source := range u.some(all, 1) {
			targets, sources = append(targets, fmt.Sprintf("/mnt/v%d", i)), append(sources, source)
			cfg.Mounts = append(cfg.Mounts, &drivers.MountConfig{HostPath: source, TaskPath: targets[i], Readonly: random.IntN(2) == 0})
		}
		about := fmt.Sprintf("round %d: masked %v, writable %v, read-only %v, volumes %v", round, h.config.MaskedPaths, p.WorkspaceRoots, p.ReadOnlyRoots, cfg.Mounts)
		if err := cfg.EncodeConcreteDriverConfig(&TaskConfig{
			Command: "python3", Args: slices.Concat([]string{"-c", walker}, roots, targets), Policy: p,
		}); err != nil {
			t.Fatal(err)
		}
		wrong := slices.ContainsFunc(slices.Concat(roots, sources), func(root string) bool { return under(masked, root) })
		_, _, err := h.StartTask(cfg)
		if (err != nil) != wrong {
			t.Errorf("%s: started: %v", about, err)
		}
		if err != nil {
			refused++
			continue
		}
		local := filepath.Join(cfg.TaskDir().Dir, "local")
		await := func(name string) map[string]bool {
			for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
				if _, err := os.Stat(filepath.Join(local, "done"+name)); err == nil {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("%s: the task does not come to turn %s", about, name)
				}
			}
			text, _ := os.ReadFile(filepath.Join(local, "seen"+name))
			seen := map[string]bool{}
			for word := range strings.FieldsSeq(string(text)) {
				first, _, _ := strings.Cut(word, ".")
				seen[first+"."] = true
			}
			return seen
		}
		seen := await("1")
		secret, constant := map[string]bool{}, map[string]bool{}
		for path, text := range u.words(u.base) {
			word, rest, _ := strings.Cut(text, ".")
			word += "."
			isMasked := under(masked, path)
			given := under(slices.Concat(roots, sources), path)
			root := deepest(roots, path)
			writable := slices.Contains(workspace, root) || slices.ContainsFunc(cfg.Mounts, func(m *drivers.MountConfig) bool { return !m.Readonly && under([]string{m.HostPath}, path) })
			switch {
			case isMasked:
				closed++
				secret[word] = true
				if seen[word] || rest != "" {
					t.Errorf("%s: %s is masked; read: %v, changed: %q", about, path, seen[word], rest)
				}
			case given && !seen[word]:
				t.Errorf("%s: %s cannot be read", about, path)
			case given && !writable && rest != "":
				t.Errorf("%s: %s is read-only, and has changed: %q", about, path, rest)
			case given && writable && rest == "" && filepath.Base(path) != "made1":
				t.Errorf("%s: %s cannot be written", about, path)
			case given && writable:
				changed++
			case given:
				kept++
				constant[word] = true
			}
			if given && !isMasked {
				read++
			}
		}
		// The host changes what is protected, and the task looks again.
		var how []string
		for _, path := range outermostOf(masked) {
			how = append(how, path+" "+u.change(path, secret))
		}
		if len(masked) == 0 && len(sources) == 0 {
			for _, path := range outermostOf(p.ReadOnlyRoots) {
				if slices.ContainsFunc(workspace, func(w string) bool { return under([]string{w}, path) }) {
					how = append(how, path+" "+u.change(path, constant))
				}
			}
		}
		if err := os.WriteFile(filepath.Join(local, "go"), nil, 0o644); err != nil && !errors.Is(err, fs.ErrExist) {
			t.Fatal(err)
		}
		for word := range await("2") {
			if secret[word] {
				t.Errorf("%s: after %v, the task has read %s", about, how, word)
			}
		}
		for path, text := range u.words(u.base) {
			word, rest, _ := strings.Cut(text, ".")
			if (secret[word+"."] || constant[word+"."]) && rest != "" {
				t.Errorf("%s: after %v, %s has changed: %q", about, how, path, rest)
			}
		}
		_ = h.DestroyTask(cfg.ID, true)
	}
	t.Logf("%d read, %d changed, %d kept, %d closed, %d refused", read, changed, kept, closed, refused)
	if min(read, changed, kept, closed, refused) == 0 {
		t.Error("the rounds tell nothing")
	}
}
