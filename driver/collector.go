// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/nomad/plugins/drivers"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
)

// Collectors of logs.
const (
	// byNomad: the client starts a process for each task, logmon, that reads
	// what the task writes from FIFOs. It knows the job's logs block.
	byNomad = "nomad"
	// byDriver: supervisors write the same files. A start takes less than half of
	// the time without logmon. Of the job's logs block, a driver is told no more
	// than whether logs are disabled.
	byDriver = "driver"
)

// LogFiles limits the log files of a task. 0 stands for a default.
type LogFiles struct {
	// MaxFiles is how many files there are at most of stdout and of stderr.
	MaxFiles int `codec:"max_files"`
	// MaxFileSize is how large one gets, in MiB, as in the logs block of a job.
	MaxFileSize int `codec:"max_file_size"`
}

var (
	// defaultLogs are Nomad's defaults of a job's logs block.
	defaultLogs = LogFiles{MaxFiles: 10, MaxFileSize: 10}
	// mostLogs are more than anybody needs.
	mostLogs = LogFiles{MaxFiles: 1000, MaxFileSize: 100_000}
)

// check checks the limits, which may be as high as most.
func (l LogFiles) check(most LogFiles) error {
	if l.MaxFiles < 0 || l.MaxFiles > most.MaxFiles {
		return fmt.Errorf("max_files: %d, expected 1 to %d", l.MaxFiles, most.MaxFiles)
	}
	if l.MaxFileSize < 0 || l.MaxFileSize > most.MaxFileSize {
		return fmt.Errorf("max_file_size: %d, expected 1 to %d (MiB)", l.MaxFileSize, most.MaxFileSize)
	}
	return nil
}

// or takes what is left to a default from others.
func (l LogFiles) or(others LogFiles) LogFiles {
	return LogFiles{cmp.Or(l.MaxFiles, others.MaxFiles), cmp.Or(l.MaxFileSize, others.MaxFileSize)}
}

// LogsConfig is the operator's choice of who collects logs.
type LogsConfig struct {
	// Collector is "nomad", which is the default, or "driver".
	Collector string `codec:"collector"`
	// LogFiles are what tasks get, and the most that a job may ask for.
	LogFiles
}

func (c *LogsConfig) validate() error {
	if c == nil {
		return nil
	}
	switch c.Collector {
	case "", byNomad:
		if c.LogFiles != (LogFiles{}) {
			return fmt.Errorf("max_files and max_file_size are for collector = %q: with %q, the logs block of each job has them", byDriver, byNomad)
		}
	case byDriver:
	default:
		return fmt.Errorf("collector: %q, expected %q (a process of its own for each task) or %q (the task's supervisor)", c.Collector, byNomad, byDriver)
	}
	return c.check(mostLogs)
}

// collector is who collects logs.
func (c *Config) collector() string {
	if c.Logs == nil || c.Logs.Collector == "" {
		return byNomad
	}
	return c.Logs.Collector
}

// planLogs says what a task's supervisor is to write; nil if Nomad collects, or
// nobody, since the job has disabled logs.
func planLogs(config *Config, cfg *drivers.TaskConfig, task *TaskConfig) (*executor.Logs, error) {
	if config.collector() == byNomad {
		if task.Logs != nil {
			return nil, fmt.Errorf("logs: on this node Nomad collects the logs: take the job's own logs block, or have the operator set logs { collector = %q }", byDriver)
		}
		return nil, nil
	}
	files := config.Logs.or(defaultLogs)
	if own := task.Logs; own != nil {
		if err := own.check(files); err != nil {
			return nil, fmt.Errorf("logs: %w: the operator's limit (plugin option logs)", err)
		}
		files = own.or(files)
	}
	if cfg.StdoutPath == "" || cfg.StdoutPath == os.DevNull {
		return nil, nil
	}
	if strings.ContainsAny(cfg.Name, "/\x00") {
		return nil, fmt.Errorf("the task's name, %q, cannot be the name of a log file", cfg.Name)
	}
	return &executor.Logs{Task: cfg.Name, MaxFiles: files.MaxFiles, MaxFileSize: int64(files.MaxFileSize) << 20}, nil
}

// openLogDir opens the directory of a task's logs, in which Nomad looks for
// them. Tasks can write to the directories above it: so no symbolic link is
// followed.
func openLogDir(cfg *drivers.TaskConfig) (*os.File, error) {
	dir := filepath.Dir(cfg.StdoutPath)
	rel, err := filepath.Rel(cfg.AllocDir, dir)
	if err != nil || !filepath.IsLocal(rel) {
		return nil, fmt.Errorf("the directory of logs, %s, is not in the allocation's directory %s", plain.Name(dir), plain.Name(cfg.AllocDir))
	}
	fd, err := openBeneath(cfg.AllocDir, rel, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, fmt.Errorf("the directory of logs, %s: %w", plain.Name(dir), err)
	}
	return os.NewFile(uintptr(fd), dir), nil
}
