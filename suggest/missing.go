// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package suggest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"

	"github.com/burin-labs/nomad-driver-harn/audit"
)

// missing finds a path in what programs print about files that are not there:
// before the system's message, as in "cat: /x: No such file or directory", or
// after it, as in "[Errno 2] No such file or directory: '/x'".
var missing = regexp.MustCompile(`(/[^\s:'"]+)['"]?: [Nn]o such file or directory|[Nn]o such file or directory[:,][^/]{0,20}(/[^\s:'"]+)`)

// FromLog finds in a task's log the paths that the task has not found, but that
// are on this host. A path outside of a policy does not exist for a task: so
// the kernel denies nothing, and no record tells of it. Each is returned as a
// denial to read it.
func FromLog(r io.Reader) ([]audit.Line, error) {
	var tally audit.Tally
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		match := missing.FindStringSubmatch(scanner.Text())
		if match == nil {
			continue
		}
		path := filepath.Clean(match[1] + match[2])
		if _, err := os.Stat(path); err != nil || filepath.Dir(path) == "/" {
			continue // there is none here either; or it is a directory that every task has
		}
		tally.Add(audit.Denial{Kind: audit.FS, Rights: []string{"fs.read_file"}, Path: path, Count: 1, Command: "the task's log"})
	}
	var lines []audit.Line
	for _, d := range tally.Denials() {
		lines = append(lines, audit.Line{Denial: d})
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("reading the log: %w", err)
	}
	return lines, nil
}
