// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// row is what a document says of an option, or of several.
type row struct{ term, absent, text string }

// optionName is an option in the first cell of a row.
var optionName = regexp.MustCompile("`([a-z_]+)(?: \\{ ... \\})?`")

// table reads the table below a heading of a document. It must have each of the options,
// and nothing else.
func table(file, heading string, options []string) (rows []row, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	_, rest, found := strings.Cut(string(text), "\n"+heading+"\n")
	if !found {
		return nil, fmt.Errorf("%s has no heading %q", file, heading)
	}
	section, _, _ := strings.Cut(rest, "\n#")
	var named []string
	for line := range strings.Lines(section) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		parts := strings.Split(strings.ReplaceAll(strings.Trim(line, "| "), `\|`, "\x01"), " | ")
		for i := range parts {
			parts[i] = strings.TrimSpace(strings.ReplaceAll(parts[i], "\x01", "|"))
		}
		for _, match := range optionName.FindAllStringSubmatch(parts[0], -1) {
			named = append(named, match[1])
		}
		r := row{term: strings.ReplaceAll(parts[0], "`", "")}
		switch len(parts) {
		case 2:
			r.text = parts[1]
		case 3:
			r.absent, r.text = parts[1], parts[2]
		default:
			return nil, fmt.Errorf("%s, %q: a row of %d cells, expected 2 or 3: %s", file, heading, len(parts), line)
		}
		if !strings.HasSuffix(r.text, ".") {
			r.text += "."
		}
		rows = append(rows, r)
	}
	slices.Sort(named)
	if !slices.Equal(named, options) {
		return nil, fmt.Errorf("%s, %q: the table has the options %q, the driver %q", file, heading, named, options)
	}
	return rows, nil
}
