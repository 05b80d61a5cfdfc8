// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
)

// What is compared, by the names of the report's columns.
const (
	rawExec     = "raw_exec"
	execDrv     = "exec"
	harn        = "harn"
	ownLogs     = "harn, own logs" // the driver collects them, not Nomad
	floor       = "floor"          // see floorDriver
	floorNoLogs = "floor, no logs"
)

// nomadsOwn are the drivers that the client brings.
var nomadsOwn = []string{rawExec, execDrv}

// Clients, by the class of their nodes. A client has one plugin of a name.
const (
	plainClient = "plain"
	logsClient  = "logs" // its drivers have Nomad collect no logs
)

// A subject is a driver on one of the clients, measured in some parts.
type subject struct {
	name, driver, client string
	parts                []string
}

// subjects begin with the one that the others are compared with.
var subjects = []subject{
	{rawExec, rawExec, plainClient, []string{"grpc", "start", "throughput", "memory", "scale"}},
	{execDrv, execDrv, plainClient, []string{"grpc", "start", "throughput", "memory", "scale"}},
	{harn, harn, plainClient, []string{"grpc", "start", "throughput", "memory", "scale"}},
	{ownLogs, harn, logsClient, []string{"start", "throughput", "memory", "nodes"}},
	{floor, floor, plainClient, []string{"grpc", "start", "throughput", "memory"}},
	{floorNoLogs, floor, logsClient, []string{"start", "throughput"}},
}

// in are the subjects of a part.
func in(part string) []subject {
	return slices.DeleteFunc(slices.Clone(subjects), func(s subject) bool { return !slices.Contains(s.parts, part) })
}

// keep leaves the subjects of these drivers, in the order of the drivers.
func keep(drivers []string) error {
	var kept []subject
	for _, driver := range drivers {
		before := len(kept)
		for _, s := range subjects {
			if s.driver == driver {
				kept = append(kept, s)
			}
		}
		if len(kept) == before {
			return fmt.Errorf("-drivers: %q is none, expected some of %s", driver, strings.Join(driverNames(), ","))
		}
	}
	subjects = kept
	return nil
}

// driverNames are the drivers of all subjects.
func driverNames() (names []string) {
	for _, s := range subjects {
		if !slices.Contains(names, s.driver) {
			names = append(names, s.driver)
		}
	}
	return names
}

// id is the subject's name where a file or a job is to have it.
func (s subject) id() string { return s.driver + "-" + s.client }
