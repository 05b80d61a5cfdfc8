// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package scrape reads metrics as Prometheus does, for tests.
package scrape

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Series are values by their names and labels, as name{label="value"}. Of a histogram,
// they are the number of what was observed.
type Series map[string]float64

// Get reads what is served at an address: unix:/PATH or HOST:PORT.
func Get(ctx context.Context, address string) (Series, error) {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			if path, ok := strings.CutPrefix(address, "unix:"); ok {
				return d.DialContext(ctx, "unix", path)
			}
			return d.DialContext(ctx, "tcp", address)
		},
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://driver/metrics", http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s", response.Status)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		return nil, err
	}
	all := Series{}
	for name, family := range families {
		for _, m := range family.GetMetric() {
			all[name+labels(m)] = value(m)
		}
	}
	return all, nil
}

func labels(m *dto.Metric) string {
	var pairs []string
	for _, p := range m.GetLabel() {
		pairs = append(pairs, fmt.Sprintf("%s=%q", p.GetName(), p.GetValue()))
	}
	if pairs == nil {
		return ""
	}
	return "{" + strings.Join(pairs, ",") + "}"
}

func value(m *dto.Metric) float64 {
	switch {
	case m.Counter != nil:
		return m.GetCounter().GetValue()
	case m.Gauge != nil:
		return m.GetGauge().GetValue()
	case m.Histogram != nil:
		return float64(m.GetHistogram().GetSampleCount())
	}
	return m.GetUntyped().GetValue()
}

// Moved says what of the driver's own series has changed since before, and by how much:
// "name +1", in order.
func (s Series) Moved(before Series) (moved []string) {
	for _, name := range slices.Sorted(maps.Keys(s)) {
		if by := s[name] - before[name]; by != 0 && strings.HasPrefix(name, "harn_") {
			moved = append(moved, fmt.Sprintf("%s %+g", name, by))
		}
	}
	return moved
}
