// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/hashicorp/nomad/plugins/drivers"

	"github.com/burin-labs/nomad-driver-harn/executor"
)

func TestPlanLogs(t *testing.T) {
	const fifo = "/var/lib/nomad/alloc/a/alloc/logs/.t.stdout.fifo"
	for name, tc := range map[string]struct {
		operator, task string
		stdout         string
		want           *executor.Logs
		err            string
	}{
		"by Nomad":         {"", "", fifo, nil, ""},
		"by Nomad, named":  {`logs { collector = "nomad" }`, "", fifo, nil, ""},
		"defaults":         {`logs { collector = "driver" }`, "", fifo, &executor.Logs{Task: "t", MaxFiles: 10, MaxFileSize: 10 << 20}, ""},
		"operator's":       {"logs {\ncollector = \"driver\"\nmax_files = 3\nmax_file_size = 4\n}", "", fifo, &executor.Logs{Task: "t", MaxFiles: 3, MaxFileSize: 4 << 20}, ""},
		"job's":            {`logs { collector = "driver" }`, "logs {\nmax_files = 2\nmax_file_size = 1\n}", fifo, &executor.Logs{Task: "t", MaxFiles: 2, MaxFileSize: 1 << 20}, ""},
		"job's files":      {`logs { collector = "driver" }`, "logs {\nmax_files = 2\n}", fifo, &executor.Logs{Task: "t", MaxFiles: 2, MaxFileSize: 10 << 20}, ""},
		"disabled":         {`logs { collector = "driver" }`, "", os.DevNull, nil, ""},
		"job without":      {"", "logs {\nmax_files = 2\n}", fifo, nil, "take the job's own logs block"},
		"too many":         {`logs { collector = "driver" }`, "logs {\nmax_files = 11\n}", fifo, nil, "logs: max_files: 11, expected 1 to 10: the operator's limit"},
		"too large":        {`logs { collector = "driver" }`, "logs {\nmax_file_size = 11\n}", fifo, nil, "logs: max_file_size: 11, expected 1 to 10 (MiB): the operator's limit"},
		"negative":         {`logs { collector = "driver" }`, "logs {\nmax_files = -1\n}", fifo, nil, "logs: max_files: -1"},
		"wrong, no effect": {`logs { collector = "driver" }`, "logs {\nmax_files = 11\n}", os.DevNull, nil, "max_files: 11"},
	} {
		config, err := parseConfig(t, tc.operator)
		if err != nil {
			t.Fatal(err)
		}
		task, err := parseTask(t, "command = \"true\"\n"+tc.task)
		if err != nil {
			t.Fatal(err)
		}
		got, err := planLogs(config, &drivers.TaskConfig{Name: "t", StdoutPath: tc.stdout}, task)
		if tc.err != "" {
			wantError(t, name, err, tc.err)
		} else if err != nil || !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, tc.want)
		}
	}
}

func TestOpenLogDir(t *testing.T) {
	alloc := t.TempDir()
	logs := filepath.Join(alloc, "alloc", "logs")
	if err := os.MkdirAll(logs, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc", filepath.Join(alloc, "alloc", "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(alloc, "alloc", "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	open := func(dir string) (*os.File, error) {
		return openLogDir(&drivers.TaskConfig{AllocDir: alloc, StdoutPath: dir + "/.t.stdout.fifo"})
	}
	for dir, want := range map[string]string{
		alloc + "/alloc/link":    "symbolic link",
		alloc + "/alloc/file":    "not a directory",
		alloc + "/alloc/none":    "no such file",
		"/etc":                   "not in the allocation's directory",
		alloc + "/alloc/../../x": "not in the allocation's directory",
	} {
		_, err := open(dir)
		wantError(t, dir, err, want)
	}
	f, err := open(logs)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}
