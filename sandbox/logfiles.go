// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"cmp"
	"fmt"
)

// LogFiles limits the log files of a task. 0 stands for a default.
type LogFiles struct {
	// MaxFiles is how many files there are at most of stdout and of stderr.
	MaxFiles int `codec:"max_files"`
	// MaxFileSize is how large one gets, in MiB, as in the logs block of a job.
	MaxFileSize int `codec:"max_file_size"`
}

// Bounds of [LogFiles].
var (
	// DefaultLogs are Nomad's defaults of a job's logs block.
	DefaultLogs = LogFiles{MaxFiles: 10, MaxFileSize: 10}
	// MostLogs are more than anybody needs.
	MostLogs = LogFiles{MaxFiles: 1000, MaxFileSize: 100_000}
)

// Check checks the limits, which may be as high as most.
func (l LogFiles) Check(most LogFiles) error {
	if l.MaxFiles < 0 || l.MaxFiles > most.MaxFiles {
		return fmt.Errorf("max_files: %d, expected 1 to %d", l.MaxFiles, most.MaxFiles)
	}
	if l.MaxFileSize < 0 || l.MaxFileSize > most.MaxFileSize {
		return fmt.Errorf("max_file_size: %d, expected 1 to %d (MiB)", l.MaxFileSize, most.MaxFileSize)
	}
	return nil
}

// Or takes what is left to a default from others.
func (l LogFiles) Or(others LogFiles) LogFiles {
	return LogFiles{cmp.Or(l.MaxFiles, others.MaxFiles), cmp.Or(l.MaxFileSize, others.MaxFileSize)}
}
