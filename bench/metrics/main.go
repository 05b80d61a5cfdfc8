// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Command metrics draws what Prometheus has answered to the dashboard's queries:
// "make metrics-demo".
//
//	metrics ANSWERS.json PICTURE.svg
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"

	"github.com/wcharczuk/go-chart/v2"
	"github.com/wcharczuk/go-chart/v2/drawing"
)

// panels are those of the dashboard that the picture has.
var panels = []string{"Tasks running", "Starts", "Time to start a task", "Refusals", "Denials", "Sessions", "Recoveries", "Memory of the plugin", "Open files of the plugin"}

// Size of a panel, and how many are in a row.
const (
	width, height = 400, 230
	columns       = 3
)

// answer is what Prometheus says to one query.
type answer struct {
	Panel, Unit, Legend string
	Result              []struct {
		Metric map[string]string
		Values [][2]any
	}
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "metrics:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 3 {
		return errors.New("expected two files: answers, and a picture to write")
	}
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		return err
	}
	var answers []answer
	if err := json.Unmarshal(text, &answers); err != nil {
		return fmt.Errorf("%s: %w", os.Args[1], err)
	}
	began, ended := math.Inf(1), 0.0
	for _, a := range answers {
		for _, result := range a.Result {
			for _, v := range result.Values {
				at, _ := v[0].(float64)
				began, ended = min(began, at), max(ended, at)
			}
		}
	}
	rows := (len(panels) + columns - 1) / columns
	var picture bytes.Buffer
	fmt.Fprintf(&picture, `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 %d %d" width="%d" height="%d">`+"\n", columns*width, rows*height, columns*width, rows*height)
	for i, name := range panels {
		var panel bytes.Buffer
		if err := draw(name, slices.DeleteFunc(slices.Clone(answers), func(a answer) bool {
			return a.Panel != name || len(a.Result) == 0
		}), began, ended, &panel); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		// A picture in a picture has a place and a size.
		_, inner, found := bytes.Cut(panel.Bytes(), []byte("<svg "))
		if !found {
			return fmt.Errorf("%s: no picture", name)
		}
		fmt.Fprintf(&picture, "<svg x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" %s\n", i%columns*width, i/columns*height, width, height, inner)
	}
	picture.WriteString("</svg>\n")
	return os.WriteFile(os.Args[2], picture.Bytes(), 0o644)
}

// label is a name in braces in a legend.
var label = regexp.MustCompile(`{{(\w+)}}`)

func draw(title string, answers []answer, first, last float64, w *bytes.Buffer) error {
	var series []chart.Series
	most, unit := 0.0, ""
	for _, a := range answers {
		scale := 1.0
		switch a.Unit {
		case "bytes":
			scale, unit = 1e-6, " (MB)"
		case "s":
			scale, unit = 1e3, " (ms)"
		case "ops":
			unit = " (per second)"
		}
		for _, result := range a.Result {
			var x, y []float64
			for _, v := range result.Values {
				at, _ := v[0].(float64)
				text, _ := v[1].(string)
				value, err := strconv.ParseFloat(text, 64)
				if err != nil || math.IsNaN(value) {
					continue
				}
				x, y = append(x, at-first), append(y, value*scale)
				most = max(most, value*scale)
			}
			if len(x) < 2 {
				continue
			}
			name := label.ReplaceAllStringFunc(a.Legend, func(s string) string {
				key := label.FindStringSubmatch(s)[1]
				if key == "instance" {
					return "this node" // its port was chosen by chance
				}
				return result.Metric[key]
			})
			series = append(series, chart.ContinuousSeries{Name: name, XValues: x, YValues: y, Style: chart.Style{StrokeWidth: 1.5, StrokeColor: color(len(series))}})
		}
	}
	if series == nil {
		return errors.New("nothing to draw")
	}
	if most == 0 {
		most = 1
	}
	c := chart.Chart{
		Title: title + unit, Width: width, Height: height, Series: series,
		TitleStyle:     chart.Style{FontSize: 10},
		Background:     chart.Style{Padding: chart.Box{Top: 46, Left: 10, Right: 20, Bottom: 10}},
		YAxisSecondary: chart.HideYAxis(),
		XAxis:          chart.XAxis{Name: "seconds", Range: &chart.ContinuousRange{Min: 0, Max: last - first}, ValueFormatter: number, Style: chart.Style{FontSize: 7}},
		YAxis:          chart.YAxis{Range: &chart.ContinuousRange{Min: 0, Max: most * 1.1}, ValueFormatter: number, Style: chart.Style{FontSize: 7}},
	}
	c.Elements = []chart.Renderable{legend(series)}
	return c.Render(chart.SVG, w)
}

func color(i int) drawing.Color {
	colors := []string{"1f77b4", "ff7f0e", "2ca02c", "9467bd", "8c564b", "d62728", "e377c2", "7f7f7f"}
	return drawing.ColorFromHex(colors[i%len(colors)])
}

// legend is one line below the title, where it hides nothing.
func legend(series []chart.Series) chart.Renderable {
	return func(r chart.Renderer, _ chart.Box, defaults chart.Style) {
		style := chart.Style{FontSize: 7, FontColor: chart.DefaultTextColor}.InheritFrom(defaults)
		x, y := 40, 40
		for i, s := range series {
			r.SetStrokeColor(color(i))
			r.SetStrokeWidth(2)
			r.MoveTo(x, y-3)
			r.LineTo(x+12, y-3)
			r.Stroke()
			chart.Draw.Text(r, s.GetName(), x+15, y, style)
			x += 22 + chart.Draw.MeasureText(r, s.GetName(), style).Width()
		}
	}
}

func number(v any) string {
	f, _ := v.(float64)
	if f >= 10 {
		return strconv.FormatFloat(f, 'f', 0, 64)
	}
	return strconv.FormatFloat(f, 'g', 2, 64)
}
