// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/burin-labs/nomad-driver-harn/executor"
)

//go:embed programs
var sources embed.FS

// Subjects of confined work.
const (
	unconfined  = "unconfined"
	worktree    = "worktree"
	osHardened  = "os_hardened"
	bareLaunch  = "C: same Landlock"
	bareFilter  = "C: empty filter"
	deepLevels  = 20
	manyRoots   = 50
	deepOpen    = "openat+close, 20 directories deep"
	shallowOpen = "openat+close"
	rootsOpen   = "openat+close, 50 more roots"
	build       = "go build of a small module"
)

// operations are those of work.c. path says how many are not path operations.
var operations = []struct {
	name, operation, file string
	path                  bool
}{
	{"getpid", "getpid", "", false},
	{"read of 4 KiB", "read", "f", false},
	{shallowOpen, "open", "f", true},
	{deepOpen, "open", strings.Repeat("d/", deepLevels) + "f", true},
	{"stat", "stat", "f", true},
	{"fork+exec", "exec", "./work", true},
}

// work measures a program in its confinement, in turns with the same program
// without.
func (b *bench) work() error {
	program, err := b.compile("work.c")
	if err != nil {
		return err
	}
	launcher, err := b.compile("launcher.c")
	if err != nil {
		return err
	}
	p, err := b.startDriver(harn, filepath.Join(b.dir, "work-tasks"))
	if err != nil {
		return err
	}
	defer p.stop()
	w := &worker{bench: b, driver: p, program: program, launcher: launcher, samples: map[[2]string][]float64{}, rules: map[string][]string{}}
	roots, err := w.makeRoots()
	if err != nil {
		return err
	}
	// Many short rounds: what the machine does besides hits all subjects.
	for number := range 20 * b.rounds {
		for _, o := range operations {
			arguments := []string{o.operation, strconv.Itoa(int(b.counts.work.Milliseconds())), o.file}
			if err := w.round(number, o.name, o.path, nil, arguments); err != nil {
				return fmt.Errorf("%s: %w", o.name, err)
			}
		}
		arguments := []string{"open", strconv.Itoa(int(b.counts.work.Milliseconds())), "f"}
		if err := w.round(number, rootsOpen, true, roots, arguments); err != nil {
			return fmt.Errorf("%s: %w", rootsOpen, err)
		}
	}
	for range 3 * b.rounds {
		if err := w.build(); err != nil {
			return fmt.Errorf("%s: %w", build, err)
		}
	}
	w.tell()
	return nil
}

type worker struct {
	*bench
	driver            *driverProcess
	program, launcher string
	order             [][2]string
	samples           map[[2]string][]float64
	rules             map[string][]string // of an operation's task under worktree
}

func (w *worker) add(name, subject string, value float64) {
	key := [2]string{name, subject}
	if w.samples[key] == nil {
		w.order = append(w.order, key)
	}
	w.samples[key] = append(w.samples[key], value)
}

func (w *worker) tell() {
	for _, key := range w.order {
		unit, values := "ns", w.samples[key]
		if key[0] == build {
			unit = "s"
		}
		w.report.add(workPart, key[0], unit, key[1], values...)
	}
}

// makeRoots makes directories for a policy to name.
func (w *worker) makeRoots() ([]string, error) {
	var roots []string
	for i := range manyRoots {
		dir := filepath.Join(w.dir, "roots", strconv.Itoa(i))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		roots = append(roots, dir)
	}
	return roots, nil
}

// policy is a task's config block.
func policy(profile string, roots []string, program string, args ...string) map[string]any {
	block := map[string]any{"sandbox_profile": profile, "workspace_roots": []string{"local"}}
	if profile == unconfined {
		block["sandbox_profile"] = "unrestricted"
	}
	if roots != nil {
		block["read_only_roots"] = roots
	}
	return map[string]any{"command": program, "args": args, "work_dir": "local", "capability_policy": block}
}

// round measures an operation once by each subject, by another one first each time.
// All are tasks of the driver: in cgroups of the same kind, which cost something as
// well.
func (w *worker) round(number int, name string, path bool, roots, arguments []string) error {
	// What the kernel's share is: a C program enters the same ruleset, or a
	// filter that allows everything, and nothing else.
	bare, mode := bareFilter, "filter"
	if path {
		bare, mode = bareLaunch, "landlock"
	}
	subjects := []string{unconfined, worktree, osHardened, bare}
	for i := range subjects {
		subject := subjects[(number+i)%len(subjects)]
		block, programs := policy(subject, roots, "local/work", arguments...), []string{w.program}
		if subject == bare {
			args := append([]string{mode, "rules", "./work"}, arguments...)
			block, programs = policy(unconfined, nil, "local/launcher", args...), append(programs, w.launcher)
		}
		if err := w.measure(subject, name, block, programs); err != nil {
			return fmt.Errorf("%s: %w", subject, err)
		}
	}
	return nil
}

// measure measures an operation once by one subject.
func (w *worker) measure(subject, name string, block map[string]any, programs []string) error {
	t, err := w.driver.prepare(block, true, programs...)
	if err != nil {
		return err
	}
	defer t.destroy()
	text := strings.ReplaceAll(strings.Join(w.rules[name], "\n"), ruleLocal, t.local())
	if err := os.WriteFile(filepath.Join(t.dir.LocalDir, "rules"), []byte(text+"\n"), 0o644); err != nil {
		return err
	}
	if err := w.one(t, name, subject); err != nil {
		return err
	}
	if subject == worktree && w.rules[name] == nil { // in the first round, before a C program needs them
		w.rules[name], err = w.ruleset(t)
	}
	return err
}

func (w *worker) one(t *task, name, subject string) error {
	deep := filepath.Join(t.dir.LocalDir, strings.Repeat("d/", deepLevels))
	if err := os.MkdirAll(deep, 0o755); err != nil {
		return err
	}
	for _, dir := range []string{t.dir.LocalDir, deep} {
		if err := os.WriteFile(filepath.Join(dir, "f"), make([]byte, 4096), 0o644); err != nil {
			return err
		}
	}
	text, err := t.result()
	if err != nil {
		return fmt.Errorf("%w: %s", err, text)
	}
	ns, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil {
		return fmt.Errorf("the task wrote %q", text)
	}
	w.add(name, subject, ns)
	return nil
}

// ruleLocal stands for the task's local directory in a list of rules.
const ruleLocal = "LOCAL"

// local is the task's local directory as it sees it.
func (t *task) local() string { return t.config.Env["NOMAD_TASK_DIR"] }

// ruleset lists the rules of a task for the launcher.
func (w *worker) ruleset(t *task) ([]string, error) {
	records, err := filepath.Glob(filepath.Join(w.driver.dir, "state", t.config.AllocID[:8]+"-*", "confinement"))
	if err != nil || len(records) != 1 {
		return nil, fmt.Errorf("the records of task %s: %v, %w", t.config.ID, records, err)
	}
	data, err := os.ReadFile(records[0])
	if err != nil {
		return nil, err
	}
	var c executor.Confinement
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, err
	}
	rules := []string{fmt.Sprint(uint64(c.Ruleset.HandledFS), uint64(c.Ruleset.HandledNet), uint64(c.Ruleset.Scoped))}
	for _, rule := range c.Ruleset.Paths {
		rules = append(rules, fmt.Sprint(uint64(rule.Access), " ", strings.Replace(rule.Path, t.local(), ruleLocal, 1)))
	}
	return rules, nil
}

// build builds a Go module under each profile, with a cache that has the
// standard library.
func (w *worker) build() error {
	goTool, err := exec.LookPath("go")
	if err != nil {
		return err
	}
	if goTool, err = filepath.EvalSymlinks(goTool); err != nil {
		return err
	}
	for _, profile := range []string{unconfined, worktree, osHardened} {
		script := fmt.Sprintf(`
export HOME=$PWD GOCACHE=$PWD/cache GOPROXY=off GOTOOLCHAIN=local GOTELEMETRY=off GOFLAGS=-buildvcs=false CGO_ENABLED=0
mkdir -p m && cd m
printf 'module m\n\ngo 1.21\n' > go.mod
write() { printf 'package main\n\nimport ("fmt"; "net/http")\n\nfunc main() { fmt.Println(%%d, http.ListenAndServe("", nil)) }\n' $1 > main.go; }
write 1
%[1]s build -o m . || exit
write 2
../work time %[1]s build -o m .
`, goTool)
		block := policy(profile, []string{filepath.Dir(filepath.Dir(goTool))}, "/bin/sh", "-c", script)
		t, err := w.driver.prepare(block, true, w.program)
		if err != nil {
			return err
		}
		text, err := t.result()
		t.destroy()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", profile, err, text)
		}
		ns, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil {
			return fmt.Errorf("%s: the task wrote %q", profile, text)
		}
		w.add(build, profile, ns/1e9)
	}
	return nil
}

// command1 runs a program to its end.
func command1(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}
