// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"context"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/nomad/plugins/base"
	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/hashicorp/nomad/plugins/drivers/proto"
	"google.golang.org/grpc"
)

// Serve serves the driver to the Nomad client that has started this process,
// until that ends it. It is Nomad's own [drivers.Serve], but for two answers:
// that of Capabilities, and the streams of TaskStats.
//
// A plugin whose agent was killed ends as well, once it has started what it was
// starting: the next agent would use this one with the options and the ceiling of the
// agent before. Tasks run on.
func (d *Driver) Serve(logger hclog.Logger) {
	peers := &agentOnly{processes: whoStarted(), logger: logger, ended: func(socket string) {
		d.changes.Lock() // for good
		_ = os.Remove(socket)
		os.Exit(0)
	}}
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: base.Handshake,
		Plugins: map[string]plugin.Plugin{
			base.PluginTypeBase:   &base.PluginBase{Impl: d},
			base.PluginTypeDriver: drivers.NewDriverPlugin(d, logger),
		},
		GRPCServer: func(options []grpc.ServerOption) *grpc.Server {
			return d.grpcServer(append(options, grpc.Creds(peers)))
		},
		Logger: logger,
	})
}

func (d *Driver) grpcServer(options []grpc.ServerOption) *grpc.Server {
	return plugin.DefaultGRPCServer(append(options,
		grpc.ChainUnaryInterceptor(CompleteCapabilities(d), d.finish),
		grpc.ChainStreamInterceptor(d.interceptStats),
	))
}

// finish has the plugin not end in the midst of a change of what runs.
func (d *Driver) finish(ctx context.Context, request any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	switch filepath.Base(info.FullMethod) {
	case "StartTask", "RecoverTask", "DestroyTask", "SetConfig":
		d.changes.RLock()
		defer d.changes.RUnlock()
	}
	return next(ctx, request)
}

// CompleteCapabilities adds what the client reads of a driver's capabilities, and
// Nomad's own server for plugins, plugins/drivers/server.go, leaves out.
func CompleteCapabilities(d drivers.DriverPlugin) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		response, err := next(ctx, request)
		c, ok := response.(*proto.CapabilitiesResponse)
		if err != nil || !ok {
			return response, err
		}
		caps, err := d.Capabilities()
		if err == nil {
			c.Capabilities.DisableLogCollection = caps.DisableLogCollection
		}
		return response, err
	}
}
