// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package metrics counts what the driver does, and serves the numbers as Prometheus
// reads them.
//
// No label has a value that a job or a task can choose: each is one of a set that is
// known beforehand, and what is not in it is "other". So the number of series is fixed,
// and whoever reads them reads nobody's text.
//
// A nil [Metrics] counts nothing.
package metrics

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Other is the value of a label for what is in no set.
const Other = "other"

// Kinds of sessions.
const (
	Exec   = "exec"   // nomad alloc exec
	Script = "script" // script checks, and scripts of templates
)

// buckets of a start, in seconds: most take some milliseconds, one that waits for logmon
// or a slow disk takes seconds.
var buckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// Metrics are the numbers of one plugin process. They begin at zero with it.
type Metrics struct {
	registry   *prometheus.Registry
	starts     prometheus.Counter
	latency    prometheus.Histogram
	refusals   labeled
	recoveries labeled
	denials    labeled
	egress     prometheus.Counter
	sessions   labeled
	open       prometheus.Gauge
	healthy    prometheus.Gauge
}

// Options say what is not the package's to know.
type Options struct {
	Version string
	// Fields are the fields and options that a refusal can name.
	Fields []string
	// Kinds are those of denials.
	Kinds []string
	// Running is how many tasks run.
	Running func() int
}

// New makes metrics that are all zero.
func New(o Options) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		starts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "harn_task_starts_total", Help: "Tasks that were started.",
		}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "harn_task_start_seconds", Help: "Time that the driver took to start a task, of those that were started.", Buckets: buckets,
		}),
		refusals:   newLabeled("harn_task_refusals_total", "Tasks that were not started, by the field or option that the error names.", "field", append(slices.Clone(o.Fields), Other)),
		recoveries: newLabeled("harn_task_recoveries_total", "Tasks that an earlier plugin process had started, and this one was to find again, by result.", "result", []string{"recovered", "failed"}),
		denials:    newLabeled("harn_denials_total", "What the kernel has denied to tasks, as far as denial_events reports it, by kind.", "kind", append(slices.Clone(o.Kinds), Other)),
		egress: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "harn_egress_denials_total", Help: "Names and addresses that a task's egress rules did not admit.",
		}),
		sessions: newLabeled("harn_sessions_total", "Commands that were to run in a task, by kind.", "kind", []string{Exec, Script}),
		open: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "harn_sessions_running", Help: "Sessions that have not ended.",
		}),
		healthy: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "harn_healthy", Help: "1 if the last fingerprint found that this node can run tasks, else 0.",
		}),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "harn_plugin_info", Help: "Always 1.", ConstLabels: prometheus.Labels{"version": o.Version},
	})
	info.Set(1)
	m.registry.MustRegister(
		m.starts, m.latency, m.refusals, m.recoveries, m.denials, m.egress, m.sessions, m.open, m.healthy, info,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "harn_tasks_running", Help: "Tasks of this driver that run.",
		}, func() float64 { return float64(o.Running()) }),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// labeled are counters by the value of one label, of which all are known beforehand.
type labeled struct {
	*prometheus.CounterVec
	counters map[string]prometheus.Counter
}

func newLabeled(name, help, label string, values []string) labeled {
	l := labeled{prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label}), map[string]prometheus.Counter{}}
	for _, value := range values {
		// From the start: Prometheus does not see the first event of a series that begins with it.
		l.counters[value] = l.WithLabelValues(value)
	}
	return l
}

func (l *labeled) add(value string, n int) {
	c, known := l.counters[value]
	if !known {
		c = l.counters[Other]
	}
	c.Add(float64(max(n, 0)))
}

// Values are the values of each label, by the metric's name.
func (m *Metrics) Values() map[string][]string {
	return map[string][]string{
		"harn_task_refusals_total":   slices.Sorted(maps.Keys(m.refusals.counters)),
		"harn_task_recoveries_total": slices.Sorted(maps.Keys(m.recoveries.counters)),
		"harn_denials_total":         slices.Sorted(maps.Keys(m.denials.counters)),
		"harn_sessions_total":        slices.Sorted(maps.Keys(m.sessions.counters)),
	}
}

// Started counts a task that was started, and the time that this took.
func (m *Metrics) Started(took time.Duration) {
	if m == nil {
		return
	}
	m.starts.Inc()
	m.latency.Observe(took.Seconds())
}

// Refused counts a task that was not started.
func (m *Metrics) Refused(field string) {
	if m != nil {
		m.refusals.add(field, 1)
	}
}

// Recovered counts a task that was to be found again.
func (m *Metrics) Recovered(err error) {
	if m == nil {
		return
	}
	result := "recovered"
	if err != nil {
		result = "failed"
	}
	m.recoveries.add(result, 1)
}

// Denied counts what the kernel has denied to a task.
func (m *Metrics) Denied(kind string, times int) {
	if m != nil {
		m.denials.add(kind, times)
	}
}

// DeniedEgress counts what a task's egress rules have denied.
func (m *Metrics) DeniedEgress(times int) {
	if m != nil {
		m.egress.Add(float64(max(times, 0)))
	}
}

// Session counts a session, which runs until end is called, once.
func (m *Metrics) Session(kind string) (end func()) {
	if m == nil {
		return func() {}
	}
	m.sessions.add(kind, 1)
	m.open.Inc()
	return sync.OnceFunc(m.open.Dec)
}

// Healthy says what a fingerprint has found.
func (m *Metrics) Healthy(healthy bool) {
	switch {
	case m == nil:
	case healthy:
		m.healthy.Set(1)
	default:
		m.healthy.Set(0)
	}
}
