// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package command

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"runtime"

	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/version"
)

func newVersion(s *Streams) *Command {
	c := &Command{
		Streams: s,
		Name:    "version",
		Summary: "Print the version",
		Description: "Prints the version of this binary, the commit that it was built from with the commit's date, and the Go release that it was built with. " +
			"A binary that was not built by make knows no commit.",
		Examples: []Example{{"For scripts:", "version -json"}},
		Statuses: []Status{{"0", "It was printed."}, {"2", "The command line is wrong."}},
		Misuse:   2,
		Flags:    flag.NewFlagSet("version", flag.ContinueOnError),
	}
	asJSON := c.Flags.Bool("json", false, "Print a JSON object.")
	c.Do = func(args []string) (int, error) {
		if len(args) > 0 {
			return 0, Usage("unexpected argument %q", args[0])
		}
		commit, date := version.Commit, version.Date
		if *asJSON {
			return 0, c.PrintJSON(map[string]string{
				"version": version.Version, "commit": commit, "date": date,
				"go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH,
			})
		}
		if commit == "" {
			commit, date = "unknown", "unknown"
		}
		fmt.Fprintf(c.Stdout, "%s v%s (commit %s of %s, %s, %s/%s)\n", Name, version.Version, commit, date, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		return 0, nil
	}
	return c
}

// PrintJSON prints a value as JSON, in which nothing is that a terminal would obey.
func (c *Command) PrintJSON(v any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return err
	}
	_, err := c.Stdout.Write(plain.JSON(text.Bytes()))
	return err
}
