// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"os"

	"github.com/hashicorp/nomad/plugins/drivers"

	"github.com/burin-labs/nomad-driver-harn/executor"
)

// output is where a task's output goes: to the FIFOs of Nomad's logmon, or to
// log files in a directory.
type output struct{ stdout, stderr, dir *os.File }

func openOutput(cfg *drivers.TaskConfig, collected bool) (o *output, err error) {
	o = &output{}
	if collected {
		o.dir, err = openLogDir(cfg)
		return o, err
	}
	if o.stdout, err = openLog(cfg.AllocDir, cfg.StdoutPath); err != nil {
		return nil, err
	}
	if o.stderr, err = openLog(cfg.AllocDir, cfg.StderrPath); err != nil {
		o.stdout.Close()
		return nil, err
	}
	return o, nil
}

func (o *output) start(id, records string, plan *executor.Plan) (*executor.Task, error) {
	if o.dir != nil {
		return executor.StartLogged(id, records, plan, o.dir)
	}
	return executor.Start(id, records, plan, o.stdout, o.stderr)
}

func (o *output) close() {
	for _, f := range []*os.File{o.stdout, o.stderr, o.dir} {
		if f != nil {
			f.Close()
		}
	}
}
