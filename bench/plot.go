// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"io"

	"github.com/wcharczuk/go-chart/v2"
)

// plots are drawn from what a run has measured.
var plots = []plot{
	{"start-latency.svg", "Start latency through gRPC (ms)", scaleStart},
	{"memory.svg", "Private memory (MB)", scaleMemory},
}

// plot is a measure against the number of tasks.
type plot struct{ file, title, measure string }

// render draws nothing if there is nothing to draw.
func (p plot) render(r *report, w io.Writer) error {
	var series []chart.Series
	for _, s := range in("scale") {
		var x, y []float64
		for _, m := range r.Measures {
			if m.Name == p.measure && m.Subject == s.name {
				x, y = append(x, float64(m.Tasks)), append(y, m.Median)
			}
		}
		if len(x) > 1 {
			series = append(series, chart.ContinuousSeries{Name: s.name, XValues: x, YValues: y, Style: chart.Style{StrokeWidth: 2, DotWidth: 3}})
		}
	}
	if series == nil {
		return nil
	}
	c := chart.Chart{
		Title: p.title, Width: 640, Height: 360, Series: series,
		Background: chart.Style{Padding: chart.Box{Top: 40, Left: 100}},
		XAxis:      chart.XAxis{Name: "tasks"},
		YAxis:      chart.YAxis{Range: &chart.ContinuousRange{Min: 0, Max: highest(series)}},
	}
	c.Elements = []chart.Renderable{chart.LegendLeft(&c)}
	return c.Render(chart.SVG, w)
}

func highest(series []chart.Series) float64 {
	most := 0.0
	for _, s := range series {
		if c, ok := s.(chart.ContinuousSeries); ok {
			for _, y := range c.YValues {
				most = max(most, y)
			}
		}
	}
	return most * 1.1
}
