// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"context"

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
func (d *Driver) Serve(logger hclog.Logger) {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: base.Handshake,
		Plugins: map[string]plugin.Plugin{
			base.PluginTypeBase:   &base.PluginBase{Impl: d},
			base.PluginTypeDriver: drivers.NewDriverPlugin(d, logger),
		},
		GRPCServer: d.grpcServer,
		Logger:     logger,
	})
}

func (d *Driver) grpcServer(options []grpc.ServerOption) *grpc.Server {
	return plugin.DefaultGRPCServer(append(options,
		grpc.ChainUnaryInterceptor(CompleteCapabilities(d)),
		grpc.ChainStreamInterceptor(d.interceptStats),
	))
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
