// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package attack

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/landlock"
)

// table is attack by profile, on this kernel.
type table struct {
	Results
	attacks  map[string]listed
	controls map[string]result
}

func newTable(abi landlock.ABI, attacks []listed) *table {
	var name unix.Utsname
	_ = unix.Uname(&name)
	table := &table{
		Results: Results{
			Kernel:  unix.ByteSliceToString(name.Release[:]),
			ABI:     abi,
			Attacks: map[string]string{},
			Cells:   map[string]map[string]Cell{},
		},
		attacks:  map[string]listed{},
		controls: map[string]result{},
	}
	for _, a := range attacks {
		table.attacks[a.Name], table.Attacks[a.Name] = a, a.About
	}
	return table
}

func (t *table) control(r result) { t.controls[r.Name] = r }

// set is for attacks that decide for themselves whether they got through.
func (t *table) set(name, about, column string, c Cell) {
	t.Attacks[name] = about
	if !slices.Contains(t.Columns, column) {
		t.Columns = append(t.Columns, column)
	}
	if t.Cells[name] == nil {
		t.Cells[name] = map[string]Cell{}
	}
	t.Cells[name][column] = c
}

// column is the table under one profile.
type column struct {
	*table
	profile *profile
}

func (t *table) column(p *profile) column {
	t.Columns = append(t.Columns, p.Name)
	return column{t, p}
}

// refusedStart says that no task gets to run at all.
func (c column) refusedStart(err error) {
	for name := range c.attacks {
		c.set(name, c.Attacks[name], c.profile.Name, Cell{Verdict: NotStarted, Why: err.Error()})
	}
}

const succeeded = "OK"

// add judges a result.
func (c column) add(r result) {
	a := c.attacks[r.Name]
	c.set(r.Name, a.About, c.profile.Name, c.judge(&a, r))
}

func (c column) judge(a *listed, r result) Cell {
	control := c.controls[a.Name]
	why, admits := c.admits(a)
	switch {
	case control.Answer != succeeded:
		if r.Answer == succeeded && !admits { // there, but not without the driver?
			return Cell{Escaped, r.Answer, "and its control fails: " + control.Answer}
		}
		return Cell{NotApplicable, r.Answer, "its control fails: " + cmp.Or(control.Detail, control.Answer, "it was not run")}
	case r.Answer == "preparation":
		return Cell{Broken, r.Answer, "it could not prepare itself: " + r.Detail}
	case r.Answer == succeeded && admits:
		return Cell{Admitted, r.Answer, why}
	case r.Answer == succeeded:
		return Cell{Escaped, "", a.About}
	case c.profile.byNetwork(a):
		return Cell{Broken, r.Answer, "level network admits it: " + r.Detail}
	case r.Sibling != "" && r.Sibling != succeeded && control.Sibling == succeeded:
		return Cell{Broken, r.Sibling, "its sibling, which the policy admits: " + r.Sibling}
	}
	return Cell{Refused, r.Answer, r.Detail}
}

// byNetwork: level network admits the attack under this profile.
func (p *profile) byNetwork(a *listed) bool {
	return p.network && a.Network
}

// admits tells whether the policy admits an attack, and why.
func (c column) admits(a *listed) (string, bool) {
	abi := int(c.ABI)
	switch {
	case a.Design != "":
		return "by design: " + a.Design, true
	case a.DesignRoot != "" && c.profile.user == "root":
		return "by design for user 0: " + a.DesignRoot, true
	case c.profile.byNetwork(a):
		return "level network", true
	case c.profile.network && abi < a.NetworkABI:
		return fmt.Sprintf("level network before Landlock ABI %d", a.NetworkABI), true
	case !c.profile.network && !c.profile.strict && (a.Local || a.LocalABI > 0 && abi >= a.LocalABI):
		return "local_ipc: there is nothing to reach", true
	case abi < a.FileABI:
		return fmt.Sprintf("before Landlock ABI %d", a.FileABI), true
	case a.DesignWorktree != "" && !c.profile.hardened:
		return "by design in worktree: " + a.DesignWorktree, true
	}
	return "", false
}

// finish prints the table and fails the test if an attack got through.
func (t *table) finish(tt *testing.T) {
	for _, p := range profiles {
		for name, a := range t.attacks {
			if _, run := t.Cells[name][p.Name]; !run && !a.Alone && os.Getenv("ATTACK_RUN") == "" {
				t.set(name, a.About, p.Name, Cell{Verdict: Missing})
			}
		}
	}
	if dir := os.Getenv("HARN_ATTACK_OUT"); dir != "" {
		t.write(tt, dir)
	}
	for _, name := range slices.Sorted(maps.Keys(t.Cells)) {
		for _, column := range t.Columns {
			if c := t.Cells[name][column]; c.Verdict.Failure() {
				tt.Errorf("%s under %s: %s %s: %s", name, column, c.Verdict, c.Answer, c.Why)
			}
		}
	}
	t.summary(os.Stdout)
}

// write leaves the table as text and as JSON, for a matrix of kernels.
func (t *table) write(tt *testing.T, dir string) {
	check(tt, os.MkdirAll(dir, 0o755))
	data, err := json.MarshalIndent(t.Results, "", " ")
	check(tt, err)
	base := fmt.Sprintf("%s/attack-%s", dir, t.Kernel)
	check(tt, os.WriteFile(base+".json", data, 0o644))
	f, err := os.Create(base + ".txt")
	check(tt, err)
	defer f.Close()
	t.print(f)
	t.summary(f)
	fmt.Printf("%s.txt and .json have the whole table\n", base)
}

func (t *table) print(out io.Writer) {
	_, _ = fmt.Fprintf(out, "Linux %s, Landlock ABI %d\n\n", t.Kernel, t.ABI)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(w, "attack\t%s\t\n", strings.Join(t.Columns, "\t"))
	for _, name := range slices.Sorted(maps.Keys(t.Cells)) {
		_, _ = fmt.Fprintf(w, "%s", name)
		for _, column := range t.Columns {
			text := ""
			if c, ok := t.Cells[name][column]; ok {
				text = c.String()
			}
			_, _ = fmt.Fprintf(w, "\t%s", text)
		}
		_, _ = fmt.Fprintf(w, "\t%s\n", t.Attacks[name])
	}
	_ = w.Flush()
	_, _ = fmt.Fprintln(out, "\nadmitted, and why:")
	t.reasons(out, Admitted)
	_, _ = fmt.Fprintln(out, "\nnot applicable, and why:")
	t.reasons(out, NotApplicable)
	_, _ = fmt.Fprintln(out)
}

// reasons prints why attacks have a verdict, each once for all columns that agree.
func (t *table) reasons(out io.Writer, v Verdict) {
	for _, name := range slices.Sorted(maps.Keys(t.Cells)) {
		columns := map[string][]string{}
		for _, column := range t.Columns {
			if c := t.Cells[name][column]; c.Verdict == v {
				columns[c.Why] = append(columns[c.Why], column)
			}
		}
		for _, why := range slices.Sorted(maps.Keys(columns)) {
			_, _ = fmt.Fprintf(out, "  %s (%s): %s\n", name, strings.Join(columns[why], ", "), why)
		}
	}
}

// summary prints a line for each column.
func (t *table) summary(out io.Writer) {
	_, _ = fmt.Fprintf(out, "Linux %s, Landlock ABI %d: %d attacks\n", t.Kernel, t.ABI, len(t.Cells))
	for _, column := range t.Columns {
		count := t.Count(column)
		_, _ = fmt.Fprintf(out, "  %-18s %3d refused, %3d admitted by the policy, %3d n/a, %d escaped", column+":", count[Refused], count[Admitted], count[NotApplicable], count[Escaped])
		if n := count[NotStarted]; n > 0 {
			_, _ = fmt.Fprintf(out, ", %d not started: no task does under this profile", n)
		}
		if wrong := count[Broken] + count[Missing]; wrong > 0 {
			_, _ = fmt.Fprintf(out, ", %d not as the policy says", wrong)
		}
		_, _ = fmt.Fprintln(out)
	}
}
