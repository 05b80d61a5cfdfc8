// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/nomad/plugins/drivers"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/executor"
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

// LogFiles limits the log files of a task.
type LogFiles struct {
	// MaxFiles is how many files there are at most of stdout and of stderr; 0
	// stands for the operator's limit.
	MaxFiles int `codec:"max_files"`
	// MaxFileSize is how large one gets, in MiB, as in the logs block of a job; 0
	// stands for the operator's limit.
	MaxFileSize int `codec:"max_file_size"`
}

// LogsConfig is the operator's choice of who collects logs.
type LogsConfig struct {
	// Collector is "nomad", which is the default, or "driver".
	Collector string `codec:"collector"`
	// MaxFiles and MaxFileSize, in MiB, are what tasks get, and the most that a
	// job may ask for. 0 stands for Nomad's own defaults: 10 files of 10 MiB.
	MaxFiles    int `codec:"max_files"`
	MaxFileSize int `codec:"max_file_size"`
}

// Defaults of a job's logs block in Nomad, and more than anybody needs.
const (
	defaultLogFiles    = 10
	defaultLogFileSize = 10
	mostLogFiles       = 1000
	mostLogFileSize    = 100_000
)

func (c *LogsConfig) validate() error {
	if c == nil {
		return nil
	}
	switch c.Collector {
	case "", byNomad:
		if c.MaxFiles != 0 || c.MaxFileSize != 0 {
			return fmt.Errorf("max_files and max_file_size are for collector = %q: with %q, the logs block of each job has them", byDriver, byNomad)
		}
	case byDriver:
	default:
		return fmt.Errorf("collector: %q, expected %q (a process of its own for each task) or %q (the task's supervisor)", c.Collector, byNomad, byDriver)
	}
	return checkLogLimits(c.MaxFiles, c.MaxFileSize, mostLogFiles, mostLogFileSize)
}

// checkLogLimits checks limits, of which 0 stands for the default.
func checkLogLimits(files, size, mostFiles, mostSize int) error {
	if files < 0 || files > mostFiles {
		return fmt.Errorf("max_files: %d, expected 1 to %d", files, mostFiles)
	}
	if size < 0 || size > mostSize {
		return fmt.Errorf("max_file_size: %d, expected 1 to %d (MiB)", size, mostSize)
	}
	return nil
}

// collector is who collects logs.
func (c *Config) collector() string {
	if c.Logs == nil || c.Logs.Collector == "" {
		return byNomad
	}
	return c.Logs.Collector
}

// logLimits are the operator's.
func (c *Config) logLimits() (files, size int) {
	return orDefault(c.Logs.MaxFiles, defaultLogFiles), orDefault(c.Logs.MaxFileSize, defaultLogFileSize)
}

func orDefault(value, otherwise int) int {
	if value == 0 {
		return otherwise
	}
	return value
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
	files, size := config.logLimits()
	if own := task.Logs; own != nil {
		if err := checkLogLimits(own.MaxFiles, own.MaxFileSize, files, size); err != nil {
			return nil, fmt.Errorf("logs: %w: the operator's limit (plugin option logs)", err)
		}
		files, size = orDefault(own.MaxFiles, files), orDefault(own.MaxFileSize, size)
	}
	if cfg.StdoutPath == "" || cfg.StdoutPath == os.DevNull {
		return nil, nil
	}
	if strings.ContainsAny(cfg.Name, "/\x00") {
		return nil, fmt.Errorf("the task's name, %q, cannot be the name of a log file", cfg.Name)
	}
	return &executor.Logs{Task: cfg.Name, MaxFiles: files, MaxFileSize: int64(size) << 20}, nil
}

// openLogDir opens the directory of a task's logs, in which Nomad looks for
// them. Tasks can write to the directories above it: so no symbolic link is
// followed.
func openLogDir(cfg *drivers.TaskConfig) (*os.File, error) {
	dir := filepath.Dir(cfg.StdoutPath)
	rel, err := filepath.Rel(cfg.AllocDir, dir)
	if err != nil || !filepath.IsLocal(rel) {
		return nil, fmt.Errorf("the directory of logs, %s, is not in the allocation's directory %s", dir, cfg.AllocDir)
	}
	fd, err := openBeneath(cfg.AllocDir, rel, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, fmt.Errorf("the directory of logs, %s: %w", dir, err)
	}
	return os.NewFile(uintptr(fd), dir), nil
}
