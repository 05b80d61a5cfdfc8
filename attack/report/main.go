// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Command report prints attack by profile and kernel, from what runs of the
// attacks have left: DIR/KERNEL/attack-*.json. It fails if one got through.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/burin-labs/nomad-driver-harn/attack"
)

// run is what the attacks came to on a kernel of the matrix.
type run struct {
	name string
	attack.Results
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: report DIR")
		os.Exit(2)
	}
	runs, err := read(os.Args[1])
	if err == nil {
		err = report(os.Stdout, runs)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

func read(dir string) ([]run, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*", "attack-*.json"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s holds no KERNEL/attack-*.json: run the attacks first", dir)
	}
	var runs []run
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		r := run{name: filepath.Base(filepath.Dir(file))}
		if err := json.Unmarshal(data, &r.Results); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		runs = append(runs, r)
	}
	slices.SortFunc(runs, func(a, b run) int { return int(a.ABI - b.ABI) })
	return runs, nil
}

// report prints a line for each attack and profile, then one for each kernel
// and profile.
func report(out io.Writer, runs []run) error {
	attacks, columns := map[string]string{}, []string{}
	for _, r := range runs {
		maps.Copy(attacks, r.Attacks)
		for _, column := range r.Columns {
			if !slices.Contains(columns, column) {
				columns = append(columns, column)
			}
		}
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	header := []string{"attack", "profile"}
	for _, r := range runs {
		header = append(header, fmt.Sprintf("%s (ABI %d)", r.name, r.ABI))
	}
	_, _ = fmt.Fprintln(w, strings.Join(header, "\t"))
	for _, name := range slices.Sorted(maps.Keys(attacks)) {
		for _, column := range columns {
			line, known := []string{name, column}, false
			for _, r := range runs {
				text := ""
				if c, ok := r.Cells[name][column]; ok {
					text, known = c.String(), true
				}
				line = append(line, text)
			}
			if known {
				_, _ = fmt.Fprintln(w, strings.Join(line, "\t"))
			}
		}
	}
	_ = w.Flush()

	_, _ = fmt.Fprintln(out)
	w = tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(w, "kernel\tABI\tprofile\trefused\tadmitted by policy\tno task starts\tn/a\tnot as the policy says\tescaped\t")
	wrong := 0
	for _, r := range runs {
		for _, column := range r.Columns {
			count := r.Count(column)
			for verdict, n := range count {
				if verdict.Failure() {
					wrong += n
				}
			}
			_, _ = fmt.Fprintf(w, "%s\t%d\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t\n", r.name, r.ABI, column,
				count[attack.Refused], count[attack.Admitted], count[attack.NotStarted], count[attack.NotApplicable],
				count[attack.Broken]+count[attack.Missing], count[attack.Escaped])
		}
	}
	_ = w.Flush()
	if wrong > 0 {
		return errors.New("there are attacks that got through, or what a policy admits did not work")
	}
	return nil
}
