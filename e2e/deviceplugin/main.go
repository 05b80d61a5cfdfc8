// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Command deviceplugin is a Nomad device plugin for the tests: it offers the
// machine's /dev/urandom, under another name and for reading only.
package main

import (
	"context"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/nomad/plugins"
	"github.com/hashicorp/nomad/plugins/base"
	"github.com/hashicorp/nomad/plugins/device"
	"github.com/hashicorp/nomad/plugins/shared/hclspec"
)

type plugin struct{}

var _ device.DevicePlugin = plugin{}

func (plugin) PluginInfo() (*base.PluginInfoResponse, error) {
	return &base.PluginInfoResponse{
		Type:              base.PluginTypeDevice,
		PluginApiVersions: []string{device.ApiVersion010},
		PluginVersion:     "0.1.0",
		Name:              "e2e-device",
	}, nil
}

func (plugin) ConfigSchema() (*hclspec.Spec, error) {
	return hclspec.NewObject(map[string]*hclspec.Spec{}), nil
}

func (plugin) SetConfig(*base.Config) error { return nil }

func (plugin) Fingerprint(ctx context.Context) (<-chan *device.FingerprintResponse, error) {
	ch := make(chan *device.FingerprintResponse, 1)
	ch <- device.NewFingerprint(&device.DeviceGroup{
		Vendor: "harn", Type: "random", Name: "urandom",
		Devices: []*device.Device{{ID: "one", Healthy: true}},
	})
	go func() {
		<-ctx.Done()
		close(ch)
	}()
	return ch, nil
}

func (plugin) Reserve([]string) (*device.ContainerReservation, error) {
	return &device.ContainerReservation{
		Envs:    map[string]string{"RANDOM_DEVICE": "/dev/dice"},
		Devices: []*device.DeviceSpec{{TaskPath: "/dev/dice", HostPath: "/dev/urandom", CgroupPerms: "r"}},
		Mounts:  []*device.Mount{{TaskPath: "/opt/dice/manual", HostPath: "/etc/hostname", ReadOnly: true}},
	}, nil
}

func (plugin) Stats(ctx context.Context, _ time.Duration) (<-chan *device.StatsResponse, error) {
	ch := make(chan *device.StatsResponse)
	go func() {
		<-ctx.Done()
		close(ch)
	}()
	return ch, nil
}

func main() {
	plugins.Serve(func(hclog.Logger) any { return plugin{} })
}
