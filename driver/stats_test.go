// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"
)

// Reports of the same numbers share them.
func TestReportsOfTheSame(t *testing.T) {
	s := subscriber{compute: &compute{}}
	start := time.Now()
	group := &groupUsage{cpuTimes: cpuTimes{total: time.Second}}
	busier := &groupUsage{cpuTimes: cpuTimes{total: time.Second + time.Second/2}}
	at := func(seconds int, group *groupUsage) *usage {
		return &usage{at: start.Add(time.Duration(seconds) * time.Second), group: group}
	}
	var last *drivers.TaskResourceUsage
	for i, step := range []struct {
		usage   *usage
		percent float64
		shares  bool
	}{
		{at(0, group), 0, false},
		{at(1, busier), 50, false},
		{at(2, busier), 0, false},
		{at(3, busier), 0, true},
		{at(4, busier), 0, true},
		{at(5, &groupUsage{cpuTimes: cpuTimes{total: 2 * time.Second}}), 50, false},
	} {
		report := s.report(step.usage)
		if got := report.ResourceUsage.CpuStats.Percent; got != step.percent || report.Timestamp != step.usage.at.UnixNano() {
			t.Errorf("%d: %v %%, want %v, at %d", i, got, step.percent, report.Timestamp)
		}
		if shares := last != nil && report.ResourceUsage == last.ResourceUsage; shares != step.shares {
			t.Errorf("%d: shared %v, want %v", i, shares, step.shares)
		}
		if again := s.report(step.usage); !reflect.DeepEqual(again, report) {
			t.Errorf("%d: told again: %+v, want %+v", i, again, report)
		}
		last = report
	}
}

// All subscribers have their samples at the same moments, one that does not
// take them included. Nothing is left of them.
func TestStatsHaveOneBeat(t *testing.T) {
	h := newHarness(t, nil)
	cfg := h.task(sh(`while :; do sleep 0.01; done`))
	h.start(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const interval = 400 * time.Millisecond // readings are shared for less than half of that
	subscribe := func() <-chan *drivers.TaskResourceUsage {
		ch, err := h.driver.TaskStats(ctx, cfg.ID, interval)
		if err != nil {
			t.Fatal(err)
		}
		return ch
	}
	slow := subscribe()
	<-slow
	one := subscribe()
	<-one
	time.Sleep(interval / 2)
	other := subscribe()
	moments := map[int64]int{}
	together := 0
	for together < 3 && len(moments) < 50 {
		for _, ch := range []<-chan *drivers.TaskResourceUsage{one, other} {
			report := <-ch
			if report == nil {
				t.Fatal("the statistics have ended")
			}
			if moments[report.Timestamp]++; moments[report.Timestamp] == 2 {
				together++
			}
		}
	}
	if together < 3 {
		t.Errorf("%d moments in common: %v", together, moments)
	}
	h.driver.beats.lock.Lock()
	if at := h.driver.beats.byInterval[interval]; len(h.driver.beats.byInterval) != 1 || at == nil || len(at.samples) != 3 {
		t.Errorf("beats %+v, want one, with three samples", h.driver.beats.byInterval)
	}
	h.driver.beats.lock.Unlock()
	if files := len(h.handle(cfg.ID).meter.watch.files); files == 0 {
		t.Error("the task's counters are not watched")
	}
	cancel()
	for _, ch := range []<-chan *drivers.TaskResourceUsage{slow, one, other} {
		for range ch { // until it is closed
		}
	}
	left := func() int {
		h.driver.beats.lock.Lock()
		defer h.driver.beats.lock.Unlock()
		return len(h.driver.beats.byInterval)
	}
	for deadline := time.Now().Add(time.Minute); left() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the beat goes on without subscribers")
		}
	}
	if n := watching.Load(); n != 0 {
		t.Errorf("%d files are still watched", n)
	}
}

// What has been read stands while neither CPU time nor memory are used, on both
// versions of cgroups.
func TestUsageStands(t *testing.T) {
	for name, test := range map[string]struct {
		controllers []string
		watched     []string
		missing     string
		rss         string
	}{
		"v1": {
			[]string{"cpu", "cpuacct", "memory", "freezer"},
			[]string{"cpuacct.usage", "memory.usage_in_bytes"},
			"cpuacct.usage", "rss",
		},
		"v2": {[]string{""}, []string{"cpu.stat", "memory.current"}, "memory.current", "anon"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write := func(file, text string) {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			write("cgroup.procs", "")
			for _, file := range test.watched {
				write(file, "usage_usec 1\n")
			}
			h := &taskHandle{cgroup: &cgroup{Paths: map[string]string{}}}
			for _, controller := range test.controllers {
				h.cgroup.Paths[controller] = dir
			}
			last, written := uint64(0), uint64(0)
			read := func(what string, want func() uint64) {
				t.Helper()
				written++
				write("memory.stat", fmt.Sprintf("%s %d\n", test.rss, written))
				got := h.usage(0).group.memory.RSS
				if got != want() {
					t.Errorf("%s: RSS %d, want %d", what, got, want())
				}
				last = got
			}
			fresh := func(what string) { t.Helper(); read(what, func() uint64 { return written }) }
			stands := func(what string) { t.Helper(); read(what, func() uint64 { return last }) }
			fresh("without a subscriber")
			fresh("again without a subscriber")
			one, other := h.watchUsage(), h.watchUsage()
			fresh("with the first subscriber")
			stands("nothing has moved")
			stands("still nothing has moved")
			for _, file := range test.watched {
				write(file, "usage_usec 22\n")
				fresh(file + " has moved")
				stands("nothing has moved since " + file)
			}
			h.meter.whole = h.meter.whole.Add(-stand)
			fresh("after a while")
			one()
			stands("one of two subscribers has left")
			other()
			fresh("all have left")
			if err := os.Remove(filepath.Join(dir, test.missing)); err != nil {
				t.Fatal(err)
			}
			defer h.watchUsage()()
			fresh("a file is missing")
			fresh("a file is still missing")
			if n := watching.Load(); n != 0 {
				t.Errorf("%d files are watched", n)
			}
		})
	}
}
