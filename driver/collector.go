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
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/sandbox"
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

// LogsConfig is the operator's choice of who collects logs.
type LogsConfig struct {
	// Collector is "nomad", which is the default, or "driver".
	Collector string `codec:"collector"`
	// LogFiles are what tasks get, and the most that a job may ask for.
	sandbox.LogFiles
}

func (c *LogsConfig) validate() error {
	if c == nil {
		return nil
	}
	switch c.Collector {
	case "", byNomad:
		if c.LogFiles != (sandbox.LogFiles{}) {
			return fmt.Errorf("max_files and max_file_size are for collector = %q: with %q, the logs block of each job has them", byDriver, byNomad)
		}
	case byDriver:
	default:
		return fmt.Errorf("collector: %q, expected %q (a process of its own for each task) or %q (the task's supervisor)", c.Collector, byNomad, byDriver)
	}
	return c.Check(sandbox.MostLogs)
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
	files := config.Logs.Or(sandbox.DefaultLogs)
	if own := task.Logs; own != nil {
		if err := own.Check(files); err != nil {
			return nil, fmt.Errorf("logs: %w: the operator's limit (plugin option logs)", err)
		}
		files = own.Or(files)
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
