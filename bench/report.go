// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// report is what a run has found. It is written as JSON, too.
type report struct {
	Date     time.Time
	Kernel   string
	CPU      string
	Cores    int
	MemoryMB int
	// LoadBefore and LoadAfter are /proc/loadavg: a machine that does other
	// things as well gives other numbers.
	LoadBefore, LoadAfter string
	Go                    string
	Short                 bool `json:",omitempty"`
	Measures              []*measure
	Targets               []target
	Failures              []string `json:",omitempty"`
	// Notes say what could not be measured of another driver.
	Notes []string `json:",omitempty"`
}

// measure is one number of one subject: a driver, or a way to confine.
type measure struct {
	Part, Name, Unit string
	Subject          string
	// Tasks is how many tasks there were, where that is what changes.
	Tasks  int `json:",omitempty"`
	Count  int // of the samples
	Median float64
	P95    float64
	// Ratio is that to the subject that the others are compared with, 0 if that was
	// not measured.
	Ratio float64 `json:",omitempty"`

	samples []float64 // in the order of the rounds
}

// workPart is the part whose samples were taken in rounds, all subjects within a
// second.
const workPart = "work"

// over is the ratio of a measure to another one: of the medians, or the median of
// what it was in each round, which the machine's own changes do not touch.
func (m *measure) over(base *measure) float64 {
	if m.Part != workPart || len(m.samples) != len(base.samples) {
		return m.Median / base.Median
	}
	ratios := make([]float64, len(m.samples))
	for i := range ratios {
		ratios[i] = m.samples[i] / base.samples[i]
	}
	slices.Sort(ratios)
	return quantile(ratios, 0.5)
}

// target is a goal, and what was reached.
type target struct {
	Name  string
	Value float64
	Limit float64
	Met   bool
	// Floor is the same number of the driver that does the least.
	Floor *float64 `json:",omitempty"`
}

func newReport() *report {
	r := &report{Date: time.Now().UTC().Truncate(time.Second), Cores: runtime.NumCPU(), Go: runtime.Version(), LoadBefore: load()}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		r.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		r.MemoryMB = int(info.Totalram * uint64(info.Unit) >> 20)
	}
	r.CPU = field("/proc/cpuinfo", "model name")
	return r
}

func load() string {
	text, _ := os.ReadFile("/proc/loadavg")
	return strings.TrimSpace(string(text))
}

// field is the first value of a "name: value" file of /proc.
func field(file, name string) string {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// add records samples, in the unit.
func (r *report) add(part, name, unit, subject string, samples ...float64) {
	r.addAt(part, name, unit, subject, 0, samples...)
}

// note records what could not be measured of another driver.
func (r *report) note(text string) {
	r.Notes = append(r.Notes, text)
	fmt.Fprintln(os.Stderr, "  not measured:", text)
}

// addAt records samples that were taken with a number of tasks.
func (r *report) addAt(part, name, unit, subject string, tasks int, samples ...float64) {
	if len(samples) == 0 {
		return
	}
	sorted := slices.Sorted(slices.Values(samples))
	m := &measure{
		Part: part, Name: name, Unit: unit, Subject: subject, Tasks: tasks,
		Count: len(sorted), Median: quantile(sorted, 0.5), P95: quantile(sorted, 0.95), samples: samples,
	}
	r.Measures = append(r.Measures, m)
	fmt.Fprintf(os.Stderr, "  %-48s %-14s %s\n", m.title(), subject, m)
}

// quantile interpolates between the nearest samples, which are sorted.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}

func (m *measure) title() string {
	if m.Tasks > 0 {
		return fmt.Sprintf("%s, %d tasks", m.Name, m.Tasks)
	}
	return m.Name
}

func (m *measure) String() string {
	s := number(m.Median)
	if m.Count > 2 {
		s += " / " + number(m.P95)
	}
	return s + " " + m.Unit
}

// number has three digits that mean something.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a == 0:
		return "0"
	case a < 0.995:
		return fmt.Sprintf("%.2g", v)
	case a < 9.95:
		return fmt.Sprintf("%.2f", v)
	case a < 99.5:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// median finds the median of a measure that is not one of a number of tasks, NaN
// if it was not measured.
func (r *report) median(name, subject string) float64 {
	if m := r.find(name, subject); m != nil {
		return m.Median
	}
	return math.NaN()
}

// ratio finds the ratio of two measures, NaN if one was not measured.
func (r *report) ratio(name, of, baseName, to string) float64 {
	m, base := r.find(name, of), r.find(baseName, to)
	if m == nil || base == nil {
		return math.NaN()
	}
	return m.over(base)
}

func (r *report) find(name, subject string) *measure {
	for _, m := range r.Measures {
		if m.Name == name && m.Subject == subject && m.Tasks == 0 {
			return m
		}
	}
	return nil
}

// finish compares what was measured, with each other and with the targets.
func (r *report) finish() {
	r.LoadAfter = load()
	for _, m := range r.Measures {
		if base := r.base(m); base != nil && base != m && base.Median != 0 {
			m.Ratio = m.over(base)
		}
	}
	for _, t := range targets {
		value := t.value(r)
		if !measured(value) {
			continue // that part was not run
		}
		met := value <= t.limit
		if t.atLeast {
			met = value >= t.limit
		}
		reached := target{Name: t.name, Value: value, Limit: t.limit, Met: met}
		if t.floor != nil {
			if least := t.floor(r); measured(least) {
				reached.Floor = &least
			}
		}
		r.Targets = append(r.Targets, reached)
	}
}

// measured is whether a number is that of measures that there are.
func measured(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// base is the same measure of the part's first subject, nil if it has none.
func (r *report) base(m *measure) *measure {
	var first string
	for _, other := range r.Measures {
		if other.Part != m.Part {
			continue
		}
		if first == "" {
			first = other.Subject
		}
		if other.Subject == first && other.title() == m.title() {
			return other
		}
	}
	return nil
}

// save writes results.json and the plots.
func (r *report) save(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "results.json"), append(data, '\n'), 0o644); err != nil {
		return err
	}
	for _, p := range plots {
		var svg bytes.Buffer
		if err := p.render(r, &svg); err != nil {
			return fmt.Errorf("plot %s: %w", p.file, err)
		}
		if svg.Len() > 0 {
			if err := os.WriteFile(filepath.Join(dir, p.file), svg.Bytes(), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// print writes a table for each part, and the targets.
func (r *report) print(w io.Writer, markdown bool) {
	fmt.Fprintf(w, "%s, Linux %s, %d x %s, %d MB, load before %s\n", r.Date.Format("2 January 2006"), r.Kernel, r.Cores, r.CPU, r.MemoryMB, r.LoadBefore)
	fmt.Fprintln(w, "median / 95th percentile (ratio to the first column: of the medians; of work, the median of the rounds' ratios)")
	if markdown {
		r.printMarkdown(w)
	} else {
		for _, p := range parts {
			if rows := r.rows(p.name); rows != nil {
				fmt.Fprintf(w, "\n%s: %s\n\n", p.name, p.about)
				table(w, rows, markdown)
			}
		}
	}
	rows := [][]string{{"target", "limit", "measured", "", "floor"}}
	for _, t := range r.Targets {
		verdict := "met"
		if !t.Met {
			verdict = "NOT met"
		}
		least := ""
		if t.Floor != nil {
			least = number(*t.Floor)
		}
		rows = append(rows, []string{t.Name, number(t.Limit), number(t.Value), verdict, least})
	}
	if len(rows) > 1 {
		fmt.Fprintln(w)
		table(w, rows, markdown)
	}
	for _, note := range r.Notes {
		fmt.Fprintf(w, "\nNOT MEASURED: %s\n", note)
	}
	for _, failure := range r.Failures {
		fmt.Fprintf(w, "\nFAILED: %s\n", failure)
	}
}

// printMarkdown writes three tables, as docs/measurements.md has them: of drivers, of
// confined work, and of the command line.
func (r *report) printMarkdown(w io.Writer) {
	var drivers []string
	for _, p := range parts {
		if p.name != workPart && p.name != runPart {
			drivers = append(drivers, p.name)
		}
	}
	for _, rows := range [][][]string{r.rows(drivers...), r.rows(workPart), r.rows(runPart)} {
		if rows != nil {
			fmt.Fprintln(w)
			table(w, rows, true)
		}
	}
}

// rows is the table of some parts, with its head; nil if there is none. A cell
// is empty where a subject was not measured.
func (r *report) rows(parts ...string) [][]string {
	var found, titles []string
	cells := map[[2]string]*measure{}
	for _, m := range r.Measures {
		if !slices.Contains(parts, m.Part) {
			continue
		}
		if !slices.Contains(found, m.Subject) {
			found = append(found, m.Subject)
		}
		if !slices.Contains(titles, m.title()) {
			titles = append(titles, m.title())
		}
		cells[[2]string{m.title(), m.Subject}] = m
	}
	if titles == nil {
		return nil
	}
	columns := inOrder(found)
	rows := [][]string{append([]string{""}, columns...)}
	for _, title := range titles {
		row := []string{title}
		for _, subject := range columns {
			m := cells[[2]string{title, subject}]
			switch {
			case m == nil:
				row = append(row, "")
			case m.Ratio == 0:
				row = append(row, m.String())
			default:
				row = append(row, fmt.Sprintf("%s (%s)", m, number(m.Ratio)))
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// inOrder puts the names of drivers' subjects in the order of subjects. Others
// stay as they are.
func inOrder(found []string) []string {
	place := func(name string) int {
		return slices.IndexFunc(subjects, func(s subject) bool { return s.name == name })
	}
	slices.SortStableFunc(found, func(a, b string) int { return cmp.Compare(place(a), place(b)) })
	return found
}

func table(w io.Writer, rows [][]string, markdown bool) {
	if markdown {
		for i, row := range rows {
			fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
			if i == 0 {
				fmt.Fprintf(w, "|%s\n", strings.Repeat("---|", len(row)))
			}
		}
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	_ = t.Flush()
}
