// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"

	"github.com/burin-labs/nomad-driver-harn/meter"
)

// Reports of the same numbers share them.
func TestReportsOfTheSame(t *testing.T) {
	s := subscriber{compute: &compute{}}
	start := time.Now()
	group := &meter.Group{CPU: meter.CPU{Total: time.Second}}
	busier := &meter.Group{CPU: meter.CPU{Total: time.Second + time.Second/2}}
	at := func(seconds int, group *meter.Group) *meter.Usage {
		return &meter.Usage{At: start.Add(time.Duration(seconds) * time.Second), Group: group}
	}
	var last *drivers.TaskResourceUsage
	for i, step := range []struct {
		usage   *meter.Usage
		percent float64
		shares  bool
	}{
		{at(0, group), 0, false},
		{at(1, busier), 50, false},
		{at(2, busier), 0, false},
		{at(3, busier), 0, true},
		{at(4, busier), 0, true},
		{at(5, &meter.Group{CPU: meter.CPU{Total: 2 * time.Second}}), 50, false},
	} {
		report := s.report(step.usage)
		if got := report.ResourceUsage.CpuStats.Percent; got != step.percent || report.Timestamp != step.usage.At.UnixNano() {
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
// take them included.
func TestStatsAreReportedTogether(t *testing.T) {
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
	cancel()
	for _, ch := range []<-chan *drivers.TaskResourceUsage{slow, one, other} {
		for range ch { // until it is closed
		}
	}
}
