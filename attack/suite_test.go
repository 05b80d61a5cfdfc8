// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package attack

import (
	"cmp"
	"embed"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// listed is an attack as the suite lists it; suite/main.go says what the
// fields mean.
type listed struct {
	Name           string `json:"name"`
	About          string `json:"about"`
	Root           bool   `json:"root"`
	Network        bool   `json:"network"`
	Local          bool   `json:"local"`
	LocalABI       int    `json:"local_abi"`
	NetworkABI     int    `json:"network_abi"`
	FileABI        int    `json:"file_abi"`
	Design         string `json:"design"`
	DesignWorktree string `json:"design_worktree"`
	DesignRoot     string `json:"design_root"`
	Alone          bool   `json:"alone"`

	program string // its own, if it has one
}

// result is how an attack ended, and how its sibling did.
type result struct {
	Name    string `json:"name"`
	Answer  string `json:"answer"`
	Detail  string `json:"detail"`
	Sibling string `json:"sibling"`
}

//go:embed arm32 c scripts
var sources embed.FS

// programs are the attacks that have been built, and the suite itself.
type programs struct {
	dir     string
	attacks []listed
}

// binVariable names a directory with programs that were built before, for
// machines without compilers.
const binVariable = "HARN_ATTACK_BIN"

// build builds the attacks into dir, as far as there is a compiler: without
// one for C, those in C are left out.
func build(t *testing.T, dir string) *programs {
	t.Helper()
	if prebuilt := os.Getenv(binVariable); prebuilt != "" {
		check(t, os.CopyFS(dir, os.DirFS(prebuilt)))
	} else {
		check(t, os.MkdirAll(dir, 0o755))
		cmd := exec.Command("./build.sh", dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("building the attacks: %v\n%s", err, out)
		}
	}
	p := &programs{dir: dir}
	out, err := exec.Command(dir+"/suite", "list").Output()
	check(t, err)
	check(t, json.Unmarshal(out, &p.attacks))
	check(t, fs.WalkDir(sources, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) == ".h" {
			return err
		}
		source, err := sources.ReadFile(path)
		a := described(path, string(source))
		a.program = filepath.Join(dir, filepath.Base(path))
		if ext := filepath.Ext(path); ext == ".c" || ext == ".go" {
			a.program = strings.TrimSuffix(a.program, ext)
		}
		if _, missing := os.Stat(a.program); missing == nil {
			p.attacks = append(p.attacks, a)
		} else {
			t.Logf("not built here: %s", a.Name)
		}
		return err
	}))
	slices.SortFunc(p.attacks, func(a, b listed) int { return cmp.Compare(a.Name, b.Name) })
	for _, a := range p.attacks {
		if a.About == "" {
			t.Errorf("%s: its file begins without a description", a.Name)
		}
	}
	return p
}

// described reads what the comment says that a program begins with.
func described(path, source string) listed {
	a := listed{Name: strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))}
	for line := range strings.Lines(source) {
		text := strings.TrimSpace(strings.TrimLeft(line, "/#"))
		switch {
		case text == "" || strings.HasPrefix(line, "#!") || strings.HasPrefix(text, "Copyright") || strings.HasPrefix(text, "SPDX-"):
		case text == "control: root":
			a.Root = true
		case text == "admitted: network":
			a.Network = true
		case strings.HasPrefix(text, "design in worktree: "):
			a.DesignWorktree = strings.TrimPrefix(text, "design in worktree: ")
		case a.About == "":
			a.About = text
		default:
			return a
		}
	}
	return a
}

// list are the paths of the programs of those that want their control run as
// root, or not, or of all.
func (p *programs) list(want func(*listed) bool) string {
	var paths []string
	for i := range p.attacks {
		if a := &p.attacks[i]; a.program != "" && want(a) {
			paths = append(paths, a.program)
		}
	}
	return strings.Join(paths, " ")
}
