// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package audit

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
)

// Line is a line of a task's list of denials, a JSON object each.
type Line struct {
	Denial
	Task string `json:"task"`
	// TaskDir is the task's directory, by which a relative root of its policy
	// is told.
	TaskDir string `json:"task_dir"`
	// Truncated: more was denied than the list holds. It is the last line.
	Truncated bool `json:"truncated,omitempty"`
}

// maxLine is the size in bytes up to which a line is read: a path has at most
// 4096 bytes, of which each can take six in JSON, and is there three times.
const maxLine = 128 << 10

// ReadLines reads a list of denials. An object that has no end was cut short by a full disk,
// before the driver cut such lines off: it counts as one that says that there was more.
func ReadLines(r io.Reader) ([]Line, error) {
	var lines []Line
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, maxLine)
	for number := 1; scanner.Scan(); number++ {
		if len(scanner.Bytes()) == 0 {
			continue
		}
		var line Line
		if scanner.Bytes()[0] == '{' && !json.Valid(scanner.Bytes()) {
			lines = append(lines, Line{Truncated: true})
			continue
		}
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			return nil, fmt.Errorf("line %d: %w, expected a denial as the driver writes it", number, err)
		}
		if !line.Truncated && (len(line.Rights) == 0 || line.Kind == "") {
			return nil, fmt.Errorf("line %d: it has no kind and rights, expected a denial as the driver writes it", number)
		}
		lines = append(lines, line)
	}
	return lines, scanner.Err()
}
