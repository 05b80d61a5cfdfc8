// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"maps"
	"slices"
	"strings"

	"github.com/burin-labs/nomad-driver-harn/audit"
	"github.com/burin-labs/nomad-driver-harn/metrics"
	"github.com/burin-labs/nomad-driver-harn/policy"
	"github.com/burin-labs/nomad-driver-harn/version"
)

// MetricsConfig is the operator's choice of where metrics are served.
type MetricsConfig struct {
	// Address is unix:/PATH, or a loopback address and a port.
	Address string `codec:"address"`

	address metrics.Address
}

func (c *Config) validateMetrics() (err error) {
	if c.Metrics == nil {
		return nil
	}
	if c.Metrics.address, err = metrics.ParseAddress(c.Metrics.Address); err != nil {
		return err
	}
	// What a root of a job shows must not be a way to it.
	if socket := c.Metrics.address.Socket; socket != "" && !slices.Contains(c.MaskedPaths, socket) {
		c.MaskedPaths = append(slices.Clip(c.MaskedPaths), socket)
	}
	return nil
}

// countFor begins to count if the configuration says so. What was counted stays. The
// caller holds the lock.
func (d *Driver) countFor(config *Config) {
	if config.Metrics == nil || d.metrics != nil {
		return
	}
	d.metrics = metrics.New(metrics.Options{
		Version: version.Version,
		Fields:  slices.Sorted(maps.Keys(refusable)),
		Kinds:   []string{audit.FS, audit.Net, audit.Scope, audit.Syscall},
		Running: d.tasks.running,
	})
}

// count are the metrics, nil if nobody reads them.
func (d *Driver) count() *metrics.Metrics {
	d.lock.RLock()
	defer d.lock.RUnlock()
	return d.metrics
}

// serveMetrics serves them, once, in the process that serves tasks.
func (d *Driver) serveMetrics() {
	m, config := d.count(), d.currentConfig()
	if m == nil || config.Metrics == nil {
		return
	}
	d.server.Do(func() { go m.Serve(d.ctx, config.Metrics.address, d.logger) })
}

func (d *Driver) countDenial(denied *audit.Denial) {
	if denied.Kind == audit.Egress {
		d.count().DeniedEgress(denied.Count)
		return
	}
	d.count().Denied(denied.Kind, denied.Count)
}

// refusable are the fields and options that a refusal can name: those of tasks, policies
// and the plugin, and what of a job's task is not the driver's own.
var refusable = func() map[string]bool {
	known := map[string]bool{"config": true, "user": true, "device": true, "volume_mount": true}
	for _, name := range slices.Concat(TaskOptions(), PluginOptions()) {
		known[name] = true
	}
	var add func(fields []policy.Field)
	add = func(fields []policy.Field) {
		for i := range fields {
			known[fields[i].Name] = true
			add(fields[i].Members)
		}
	}
	add(policy.Fields())
	return known
}()

// refusedField is the field that an error begins with: of "capability_policy: workspace_roots[0]:
// ..." that is workspace_roots. Each word is looked up: no text of a job becomes a field.
func refusedField(err error) string {
	found := metrics.Other
	for rest := err.Error(); ; {
		rest = strings.TrimPrefix(rest, "plugin option ")
		end := strings.IndexFunc(rest, func(r rune) bool { return r != '_' && r != '.' && (r < 'a' || r > 'z') })
		if end < 0 {
			end = len(rest)
		}
		word := strings.TrimRight(rest[:end], ".")
		for !refusable[word] {
			dot := strings.LastIndexByte(word, '.')
			if dot < 0 {
				return found
			}
			word = word[:dot]
		}
		found = word
		// An index, as of workspace_roots[0].
		rest = strings.TrimLeft(rest[end:], "[0123456789]")
		var more bool
		if rest, more = strings.CutPrefix(rest, ": "); !more {
			return found
		}
	}
}
