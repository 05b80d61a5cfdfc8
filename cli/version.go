// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"runtime"

	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/version"
)

func newVersion(s *streams) *command {
	c := &command{
		streams:     s,
		name:        "version",
		synopsis:    "Print the version",
		description: "Prints the version of this binary, and of the Go release that it was built with.",
		examples:    []example{{"For scripts:", "version -json"}},
		statuses:    []status{{"0", "It was printed."}, {"2", "The command line is wrong."}},
		misuse:      2,
		flags:       flag.NewFlagSet("version", flag.ContinueOnError),
	}
	asJSON := c.flags.Bool("json", false, "Print a JSON object.")
	c.run = func(args []string) (int, error) {
		if len(args) > 0 {
			return 0, usage("unexpected argument %q", args[0])
		}
		if *asJSON {
			return 0, c.printJSON(map[string]string{"version": version.Version, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH})
		}
		fmt.Fprintf(c.stdout, "%s v%s (%s, %s/%s)\n", Name, version.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		return 0, nil
	}
	return c
}

func (c *command) printJSON(v any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return err
	}
	_, err := c.stdout.Write(plain.JSON(text.Bytes()))
	return err
}
