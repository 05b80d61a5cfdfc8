// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"

	"github.com/burin-labs/nomad-driver-harn/audit"
)

// watched adds a task to denials, as follow does for one that runs.
func watched(t *testing.T, d *denials, name string, pid int, uid uint32) *denialReport {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "alloc", "logs"), 0o755); err != nil {
		t.Fatal(err)
	}
	r := &denialReport{
		config: &drivers.TaskConfig{ID: name, Name: name, AllocID: "0123456789", AllocDir: dir}, taskDir: "/task",
		emit: d.emit, warn: d.warn, pid: pid, uid: uid,
	}
	d.tasks[name] = r
	return r
}

func listed(t *testing.T, r *denialReport) []audit.Line {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(r.config.AllocDir, "alloc", "logs", r.config.Name+".denials.ndjson"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	lines, err := audit.ReadLines(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// The records of a real kernel are found to be the task's whose first process
// made the domain, and nobody else's.
func TestDenialsAreTheTasks(t *testing.T) {
	events := map[string][]string{}
	d := newDenials(func(message string, args ...any) { t.Errorf("warning: %s %v", message, args) },
		func(cfg *drivers.TaskConfig, message string) { events[cfg.Name] = append(events[cfg.Name], message) })
	// Process and user are of the records.
	mine, other := watched(t, d, "mine", 184, 1000), watched(t, d, "other", 999999, 1001)

	f, err := os.Open("../audit/testdata/linux-7.3.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		number, text, _ := strings.Cut(lines.Text(), " ")
		kind, _ := strconv.Atoi(number)
		if kind == 1326 {
			continue // its process is long gone, and has left no trace
		}
		d.record(uint16(kind), text)
	}
	mine.finish()
	other.finish()
	if len(events["mine"]) != 1 || !strings.Contains(events["mine"][0], "fs.make_reg /tmp (3 times), ") || len(events["other"]) != 0 {
		t.Errorf("events: %q", events)
	}
	total := 0
	for _, line := range listed(t, mine) {
		total += line.Count
	}
	if total != 23 || len(listed(t, other)) != 0 {
		t.Errorf("%d denials are listed, expected 23; of the other: %v", total, listed(t, other))
	}
	if len(d.domains) != 0 || mine.domains != 0 {
		t.Errorf("the domain is gone, but not here: %v", d.domains)
	}
}

func TestDenialsByUser(t *testing.T) {
	d := newDenials(nil, nil)
	one, _, _ := watched(t, d, "one", -1, 1000), watched(t, d, "two", -1, 1001), watched(t, d, "three", -1, nobodyUID)
	for uid, want := range map[int]*denialReport{1000: one, 1002: nil, 0: nil, -1: nil, nobodyUID: nil} {
		if got := d.whose(&audit.Event{PID: -1, Parent: -1, UID: uid}); got != want {
			t.Errorf("user %d: %+v", uid, got)
		}
	}
	watched(t, d, "four", -1, 1000)
	if got := d.whose(&audit.Event{PID: -1, Parent: -1, UID: 1000}); got != nil {
		t.Errorf("a user of two tasks: %+v", got)
	}
}

// However much a task is denied, there are few events, and the list is bounded.
func TestDenialsAreBounded(t *testing.T) {
	events := 0
	d := newDenials(func(message string, args ...any) { t.Errorf("warning: %s %v", message, args) },
		func(*drivers.TaskConfig, string) { events++ })
	r := watched(t, d, "t", -1, 1000)
	for round := range 40 {
		for i := range 300 {
			r.add([]audit.Denial{{Kind: audit.FS, Rights: []string{"fs.read_file"}, Path: strings.Repeat("x", 100) + strconv.Itoa(round*1000+i), Count: 1}})
		}
		r.reporting.Lock()
		r.told = time.Time{} // a minute has passed
		r.reporting.Unlock()
		r.report()
	}
	r.finish()
	if events > maxDenialEvents {
		t.Errorf("%d events", events)
	}
	lines := listed(t, r)
	info, err := os.Stat(filepath.Join(r.config.AllocDir, "alloc", "logs", "t.denials.ndjson"))
	if err != nil || info.Size() > 1<<20 || !lines[len(lines)-1].Truncated || lines[len(lines)-2].Truncated {
		t.Errorf("%v %v, the last line: %+v", info.Size(), err, lines[len(lines)-1])
	}
}

// The directory can be another driver's task's to write to.
func TestDenialsFileIsOurs(t *testing.T) {
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("safe"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, prepare := range map[string]func(logs string) error{
		"symbolic link": func(logs string) error { return os.Symlink(victim, filepath.Join(logs, denialsFile("t"))) },
		"hard link":     func(logs string) error { return os.Link(victim, filepath.Join(logs, denialsFile("t"))) },
		"directory":     func(logs string) error { return os.Mkdir(filepath.Join(logs, denialsFile("t")), 0o755) },
		"linked logs": func(logs string) error {
			return os.Rename(logs, logs+"2") // put back as a link, below
		},
	} {
		dir := t.TempDir()
		logs := filepath.Join(dir, "alloc", "logs")
		if err := os.MkdirAll(logs, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := prepare(logs); err != nil {
			t.Fatal(err)
		}
		if name == "linked logs" {
			if err := os.Symlink(logs+"2", logs); err != nil {
				t.Fatal(err)
			}
		}
		if f, err := openDenials(dir, "t"); err == nil {
			f.Close()
			t.Errorf("%s: it was opened", name)
		}
	}
	if text, _ := os.ReadFile(victim); string(text) != "safe" {
		t.Errorf("written: %q", text)
	}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "alloc", "logs"), 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		f, err := openDenials(dir, "t")
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
}
