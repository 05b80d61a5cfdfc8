// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"errors"
	"time"

	"github.com/burin-labs/nomad-driver-harn/policy"
	"github.com/burin-labs/nomad-driver-harn/sandbox"
)

// hostFilesPeriod is how often the plugin looks for changes. Symbolic links can
// change anywhere on the way, which stat(2) sees, and no watch of a directory.
const hostFilesPeriod = time.Second

// followHost keeps the copies in step until the plugin ends.
func (d *Driver) followHost() {
	for {
		select {
		case <-d.ctx.Done():
			return
		case <-time.After(hostFilesPeriod):
		}
		_ = d.copies.Refresh(sandbox.HostFilesDir(d.currentConfig().StateDir))
	}
}

// keepHostFiles brings the copies up to date, and returns where they are; "" if
// they cannot be kept: then tasks have the files as they are when they start.
func (d *Driver) keepHostFiles(stateDir string) string {
	dir := sandbox.HostFilesDir(stateDir)
	err := d.copies.Refresh(dir)
	if errors.As(err, new(*sandbox.ResolverError)) {
		d.logger.Warn("changes of the host's resolv.conf and hosts will not reach the egress of running tasks", "error", err)
		err = nil
	}
	if err == nil {
		dir, err = policy.RealPath(dir)
	}
	if err != nil {
		d.logger.Warn("changes of the host's resolv.conf and hosts will not reach running tasks", "error", err)
		return ""
	}
	return dir
}
