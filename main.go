// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Command nomad-driver-harn is a Nomad task driver plugin that confines tasks
// by Landlock and seccomp, under a Harn capability policy.
//
// The same binary is each task's supervisor and launcher: package executor
// sees to that in its init, before main, and before the packages of the plugin
// initialize.
package main

import (
	"context"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/nomad/plugins"

	"github.com/burin-labs/nomad-driver-harn/driver"
)

func main() {
	plugins.ServeCtx(func(ctx context.Context, logger hclog.Logger) any {
		return driver.New(ctx, logger)
	})
}
