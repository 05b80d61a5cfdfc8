// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/programs/model"
)

// What programs run, and by which line of the policy: "make programs" runs each
// row of whatRuns under a real agent, compares, and writes docs/programs.md.

// standard are the policies that each program is tried under: the columns.
var standard = []struct {
	title, policy string
}{
	{"`worktree`", `sandbox_profile = "worktree"`},
	{"without network", `side_effect_level = "process_exec"`},
	{"`os_hardened`", `sandbox_profile = "os_hardened"`},
}

// A cell is what becomes of a program under one of these policies. Without
// fails, the program works as it is.
type cell struct {
	// fails is a regular expression of what the program says when it fails.
	fails string
	// line of the policy, in HCL, with which it works. It takes the place of the
	// column's line with the same name. "" if no line would help.
	line string
	// because is the reason for the reader, if no line would help.
	because string
	// abi of Landlock from which on the program works as it is; 0 if none.
	abi landlock.ABI
}

// A row is a program.
type row struct {
	title string
	// job is the file's name: in example/programs, or else in testdata/programs.
	job string
	// from are the packages that the versions are of, "npm NAME" or "deb NAME".
	from []string
	// want is what the job prints, if it works.
	want string
	// cells are in the order of standard. nil: all work as they are.
	cells []cell
	// note is what to do, for the last column.
	note string
}

// table is what TestWhatRuns writes.
const table = "../docs/programs.md"

// programLimit is how long a job may take. The longest takes a sixth of it on two
// processors that do nothing else.
const programLimit = 200 * time.Second

// failLimit is how long one may take that is expected to fail: agents go on
// trying to reach their model.
const failLimit = 60 * time.Second

// TestWhatRuns needs the programs, which programs/fetch.sh fetches.
func TestWhatRuns(t *testing.T) {
	if os.Getenv("HARN_PROGRAMS_LAYER") == "" {
		t.Skip("make programs runs this")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:8080") // of this network namespace alone
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: model.Handler(), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	var lock sync.Mutex
	lines := map[string]string{}
	t.Run("all", func(t *testing.T) {
		for _, r := range whatRuns {
			t.Run(r.job, func(t *testing.T) {
				t.Parallel()
				line := r.run(t)
				if t.Failed() {
					return
				}
				lock.Lock()
				defer lock.Unlock()
				lines[r.title] = line
			})
		}
	})
	_ = server.Close()
	writeTable(t, lines)
}

// writeTable writes docs/programs.md, where the rows stay that were not run, or
// did not go as they should.
func writeTable(t *testing.T, lines map[string]string) {
	t.Helper()
	old, err := os.ReadFile(table)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	text := whatRunsHead
	for _, r := range whatRuns {
		line := lines[r.title]
		for was := range strings.Lines(string(old)) {
			if line == "" && strings.HasPrefix(was, "| "+r.title+" ") {
				line = strings.TrimSuffix(was, "\n")
			}
		}
		if line == "" {
			t.Logf("%s has no row %q yet", table, r.title)
			continue
		}
		text += line + "\n"
	}
	if err := os.MkdirAll(filepath.Dir(table), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(table, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Each example is a valid job and a row, and each row has a job and is in the table.
func TestWhatRunsHasEveryExample(t *testing.T) {
	t.Parallel()
	var files, rows []string
	for _, pattern := range []string{"../example/programs/*.nomad.hcl", "testdata/programs/*.nomad.hcl"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range found {
			hcl, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := shared.client.Jobs().ParseHCL(string(hcl), true)
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if answer, _, err := shared.client.Jobs().Validate(parsed, nil); err != nil || answer.Error != "" {
				t.Errorf("%s: %+v, %v", file, answer, err)
			}
			files = append(files, strings.TrimSuffix(filepath.Base(file), ".nomad.hcl"))
		}
	}
	text, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range whatRuns {
		rows = append(rows, r.job)
		if !strings.Contains(string(text), "\n| "+r.title+" ") {
			t.Errorf("docs/programs.md has no row %q: run make programs", r.title)
		}
		for _, c := range r.cells {
			if c.fails == "" && (c.line != "" || c.because != "") || c.fails != "" && (c.line == "") == (c.because == "") {
				t.Errorf("%s: a cell fails and has a line, or fails and has a reason, or works: %+v", r.job, c)
			}
		}
		if r.cells != nil && len(r.cells) != len(standard) {
			t.Errorf("%s has %d cells of %d", r.job, len(r.cells), len(standard))
		}
	}
	slices.Sort(files)
	slices.Sort(rows)
	if !slices.Equal(files, rows) {
		t.Errorf("jobs %q\nrows %q", files, rows)
	}
}

// file is the row's job, and whether it is an example.
func (r row) file() (path string, example bool) {
	path = "../example/programs/" + r.job + ".nomad.hcl"
	if _, err := os.Stat(path); err != nil {
		return "testdata/programs/" + r.job + ".nomad.hcl", false
	}
	return path, true
}

// run tries the program under each policy, and returns the table's line.
func (r row) run(t *testing.T) string {
	file, example := r.file()
	if example {
		t.Run("as it stands", func(t *testing.T) { r.expect(t, "", cell{}) })
	}
	line := "| " + r.title + r.versions(t) + " |"
	for i, column := range standard {
		c := cell{}
		if r.cells != nil {
			c = r.cells[i]
		}
		name := strings.Trim(column.title, "`")
		abi, _ := landlock.Detect()
		expected := c
		if c.abi != 0 && abi >= c.abi {
			expected = cell{}
		}
		t.Run(name, func(t *testing.T) { r.expect(t, column.policy, expected) })
		switch {
		case c.fails == "":
			line += " works |"
		case c.line != "":
			t.Run(name+" with a line", func(t *testing.T) { r.expect(t, withLines(column.policy, c.line), cell{}) })
			line += " works with `" + strings.ReplaceAll(c.line, "\n", "`, `") + "`"
			if c.abi != 0 {
				line += fmt.Sprintf("; as it is from Landlock ABI %d on", c.abi)
			}
			line += " |"
		default:
			line += " cannot: " + c.because + " |"
		}
	}
	note := r.note
	if example {
		note = strings.TrimSpace(fmt.Sprintf("[job](%s). %s", file, note))
	}
	return line + " " + note + " |"
}

// withLines is a policy with other lines, which replace those of the same name.
func withLines(policy, lines string) string {
	for line := range strings.Lines(policy) {
		if name, _, _ := strings.Cut(line, " "); !strings.HasPrefix(lines, name+" ") && !strings.Contains(lines, "\n"+name+" ") {
			lines += "\n" + strings.TrimSpace(line)
		}
	}
	return lines
}

// expect runs the row's job under a policy, "" for its own, and checks that it
// works, or that it fails as the cell says.
func (r row) expect(t *testing.T, policy string, c cell) {
	t.Helper()
	file, _ := r.file()
	hcl, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(hcl)
	if policy != "" {
		text = policyBlock.ReplaceAllLiteralString(text, "capability_policy {\n"+policy+"\n}\n")
	}
	limit := programLimit
	if c.fails != "" {
		limit = failLimit
	}
	code, out := shared.client.try(t, text, limit)
	works := code == 0 && strings.Contains(out, r.want)
	if c.fails != "" {
		t.Logf("exit code %d, the end of:\n%s", code, tail(out))
	}
	switch {
	case c.fails == "" && !works:
		t.Errorf("exit code %d, expected 0 and %q in the end of:\n%s", code, r.want, tail(out))
	case c.fails != "" && works:
		t.Errorf("it works, the table says that it fails by %q", c.fails)
	case c.fails != "" && !regexp.MustCompile(c.fails).MatchString(out):
		t.Errorf("it fails as expected, but without %q in the end of:\n%s", c.fails, tail(out))
	}
}

var policyBlock = regexp.MustCompile(`(?s)capability_policy \{.*?\n {8}\}\n`)

func tail(text string) string { return text[max(0, len(text)-3000):] }

// try runs a job once, and returns its exit code, -1 if there is none, and what
// it wrote, events included.
func (a *client) try(t *testing.T, hcl string, limit time.Duration) (code int, out string) {
	t.Helper()
	parsed, err := a.Jobs().ParseHCL(hcl, true)
	if err != nil {
		t.Fatalf("%v in\n%s", err, hcl)
	}
	never, zero, fail := false, 0, "fail"
	parsed.NodePool = &a.pool
	for _, group := range parsed.TaskGroups {
		group.RestartPolicy = &api.RestartPolicy{Attempts: &zero, Mode: &fail}
		group.ReschedulePolicy = &api.ReschedulePolicy{Attempts: &zero, Unlimited: &never}
		for _, task := range group.Tasks {
			task.RestartPolicy = group.RestartPolicy
		}
	}
	if _, _, err := a.Jobs().Register(parsed, nil); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _, _ = a.Jobs().Deregister(*parsed.ID, true, nil) }()
	j := &job{t: t, a: a, Job: parsed}
	dead := func() bool {
		alloc := j.look()
		return alloc != nil && alloc.TaskStates[j.task()] != nil && alloc.TaskStates[j.task()].State == "dead"
	}
	began := time.Now()
	for end := began.Add(limit); !dead(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			if j.alloc == nil {
				return -1, "it was not placed"
			}
			return -1, j.logs("stdout") + j.logs("stderr") + fmt.Sprintf("\nit has not ended after %v\n%s", limit, j.events())
		}
	}
	t.Logf("it took %v", time.Since(began).Round(100*time.Millisecond))
	code = -1
	for _, e := range j.alloc.TaskStates[j.task()].Events {
		if e.Type == "Terminated" {
			code = e.ExitCode
		}
	}
	return code, j.logs("stdout") + j.logs("stderr") + "\n" + j.events()
}

// versions are those of the row's packages.
func (r row) versions(t *testing.T) (text string) {
	t.Helper()
	dir := os.Getenv("HARN_PROGRAMS_LAYER")
	for _, from := range r.from {
		kind, name, _ := strings.Cut(from, " ")
		cmd := exec.Command("dpkg-query", "--admindir="+dir+"/var/lib/dpkg", "--showformat=${Version}", "--show", name)
		if kind == "npm" {
			cmd = exec.Command("/usr/local/bin/node", "-p", "require('"+dir+"/usr/local/lib/programs/node_modules/"+name+"/package.json').version")
		}
		version, err := cmd.Output()
		if err != nil {
			t.Errorf("%s: %v", from, err)
		}
		// Without Debian's epoch and revision.
		_, after, epoch := strings.Cut(string(version), ":")
		if !epoch {
			after = string(version)
		}
		after, _, _ = strings.Cut(after, "-")
		after, _, _ = strings.Cut(after, "+")
		text += " " + strings.TrimSpace(after)
	}
	return text
}
