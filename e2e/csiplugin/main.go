// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Command csiplugin is a CSI node plugin for the tests: its volumes are directories of
// the host, below the one that it is given, and are bound where they are published.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "csiplugin:", err)
		os.Exit(1)
	}
}

func serve() error {
	socket := strings.TrimPrefix(os.Getenv("CSI_ENDPOINT"), "unix://") // Nomad's
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	p := &plugin{root: os.Args[1]}
	csi.RegisterIdentityServer(server, p)
	csi.RegisterNodeServer(server, p)
	return server.Serve(l)
}

type plugin struct {
	csi.UnimplementedIdentityServer
	csi.UnimplementedNodeServer
	root string
}

func (*plugin) GetPluginInfo(context.Context, *csi.GetPluginInfoRequest) (*csi.GetPluginInfoResponse, error) {
	return &csi.GetPluginInfoResponse{Name: "e2e.csi", VendorVersion: "0.1.0"}, nil
}

func (*plugin) GetPluginCapabilities(context.Context, *csi.GetPluginCapabilitiesRequest) (*csi.GetPluginCapabilitiesResponse, error) {
	return &csi.GetPluginCapabilitiesResponse{}, nil
}

func (*plugin) Probe(context.Context, *csi.ProbeRequest) (*csi.ProbeResponse, error) {
	return &csi.ProbeResponse{Ready: wrapperspb.Bool(true)}, nil
}

func (*plugin) NodeGetInfo(context.Context, *csi.NodeGetInfoRequest) (*csi.NodeGetInfoResponse, error) {
	return &csi.NodeGetInfoResponse{NodeId: "e2e"}, nil
}

func (*plugin) NodeGetCapabilities(context.Context, *csi.NodeGetCapabilitiesRequest) (*csi.NodeGetCapabilitiesResponse, error) {
	return &csi.NodeGetCapabilitiesResponse{}, nil
}

func (p *plugin) NodePublishVolume(_ context.Context, r *csi.NodePublishVolumeRequest) (*csi.NodePublishVolumeResponse, error) {
	target := r.GetTargetPath()
	if err := os.MkdirAll(target, 0o755); err != nil {
		return nil, err
	}
	if err := unix.Mount(filepath.Join(p.root, r.GetVolumeId()), target, "", unix.MS_BIND, ""); err != nil {
		return nil, fmt.Errorf("binding %q: %w", target, err)
	}
	if r.GetReadonly() {
		if err := unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			return nil, fmt.Errorf("making %q read-only: %w", target, err)
		}
	}
	return &csi.NodePublishVolumeResponse{}, nil
}

func (*plugin) NodeUnpublishVolume(_ context.Context, r *csi.NodeUnpublishVolumeRequest) (*csi.NodeUnpublishVolumeResponse, error) {
	if err := unix.Unmount(r.GetTargetPath(), 0); err != nil {
		return nil, fmt.Errorf("unmounting %q: %w", r.GetTargetPath(), err)
	}
	return &csi.NodeUnpublishVolumeResponse{}, os.Remove(r.GetTargetPath())
}
