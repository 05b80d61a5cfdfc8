// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package meter

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/burin-labs/nomad-driver-harn/cgroup"
)

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
			g := &cgroup.Group{Paths: map[string]string{}}
			m := New(g, func() []int { return nil })
			for _, controller := range test.controllers {
				g.Paths[controller] = dir
			}
			last, written := uint64(0), uint64(0)
			read := func(what string, want func() uint64) {
				t.Helper()
				written++
				write("memory.stat", fmt.Sprintf("%s %d\n", test.rss, written))
				got := m.Read(0).Group.Memory.RSS
				if got != want() {
					t.Errorf("%s: RSS %d, want %d", what, got, want())
				}
				last = got
			}
			fresh := func(what string) { t.Helper(); read(what, func() uint64 { return written }) }
			stands := func(what string) { t.Helper(); read(what, func() uint64 { return last }) }
			fresh("without a subscriber")
			fresh("again without a subscriber")
			one, other := m.Watch(), m.Watch()
			fresh("with the first subscriber")
			stands("nothing has moved")
			stands("still nothing has moved")
			for _, file := range test.watched {
				write(file, "usage_usec 22\n")
				fresh(file + " has moved")
				stands("nothing has moved since " + file)
			}
			m.complete = m.complete.Add(-maxIdle)
			fresh("after a while")
			one()
			stands("one of two subscribers has left")
			other()
			fresh("all have left")
			if err := os.Remove(filepath.Join(dir, test.missing)); err != nil {
				t.Fatal(err)
			}
			defer m.Watch()()
			fresh("a file is missing")
			fresh("a file is still missing")
			if n := watching.Load(); n != 0 {
				t.Errorf("%d files are watched", n)
			}
		})
	}
}

// All subscribers have their samples at the same moments, one that does not
// take them included. Nothing is left of them.
func TestSamplesAreTakenTogether(t *testing.T) {
	m := New(&cgroup.Group{}, func() []int { return []int{os.Getpid()} })
	var s Sampler
	const interval = 100 * time.Millisecond
	_, cancelSlow := s.Subscribe(m, interval, 0)
	one, cancelOne := s.Subscribe(m, interval, interval/4)
	time.Sleep(interval / 2)
	if left := s.Until(interval); left > interval/2 {
		t.Errorf("the next sample is in %v", left)
	}
	other, cancelOther := s.Subscribe(m, interval, interval/4)
	moments := map[time.Time]int{}
	together := 0
	for together < 3 && len(moments) < 50 {
		for _, samples := range []<-chan *Usage{one, other} {
			if at := (<-samples).At; !at.IsZero() {
				if moments[at]++; moments[at] == 2 {
					together++
				}
			}
		}
	}
	if together < 3 {
		t.Errorf("%d moments in common: %v", together, moments)
	}
	schedules := func() int {
		s.lock.Lock()
		defer s.lock.Unlock()
		return len(s.byInterval)
	}
	if n := schedules(); n != 1 {
		t.Errorf("%d schedules, want one for all", n)
	}
	cancelSlow()
	cancelOne()
	cancelOther()
	for deadline := time.Now().Add(time.Minute); schedules() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("samples are taken without subscribers")
		}
	}
	if s.Until(interval) != interval {
		t.Error("there is a next sample without subscribers")
	}
}
