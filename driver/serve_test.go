// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"net"
	"path/filepath"
	"testing"

	"github.com/hashicorp/nomad/plugins/drivers"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// served is Nomad's own client of what d serves, where Nomad's server would ask
// behind.
func served(t *testing.T, d *Driver, behind drivers.DriverPlugin, options ...grpc.ServerOption) (drivers.DriverPlugin, *grpc.ClientConn) {
	t.Helper()
	server := d.grpcServer(options)
	if err := drivers.NewDriverPlugin(behind, testLogger(t)).GRPCServer(nil, server); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "socket")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	connection, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	client, err := drivers.NewDriverPlugin(nil, testLogger(t)).GRPCClient(t.Context(), nil, connection)
	if err != nil {
		t.Fatal(err)
	}
	return client.(drivers.DriverPlugin), connection
}

// Over gRPC, the client is told who collects logs.
func TestCapabilitiesOverGRPC(t *testing.T) {
	for collector, want := range map[string]bool{byNomad: false, byDriver: true} {
		d := New(t.Context(), testLogger(t))
		config, err := parseConfig(t, `logs { collector = "`+collector+`" }`)
		if err != nil {
			t.Fatal(err)
		}
		d.config = config
		// Nomad's server for plugins sends nothing of this, and its client takes that for all.
		if caps, err := d.Capabilities(); err != nil || caps.MountConfigs != drivers.MountConfigSupportAll {
			t.Errorf("%+v, %v: a client refuses volumes of a driver that says that it has no mounts", caps, err)
		}
		client, _ := served(t, d, d)
		caps, err := client.Capabilities()
		if err != nil || caps.DisableLogCollection != want || !caps.DynamicWorkloadUsers || caps.MountConfigs != drivers.MountConfigSupportAll {
			t.Errorf("%s: %+v, %v", collector, caps, err)
		}
	}
}
