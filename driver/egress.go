// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/hashicorp/nomad/plugins/drivers"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/denials"
	"github.com/burin-labs/nomad-driver-harn/egress"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
)

// egressPipe is a FIFO among a task's records. Its forwarder has it open to read and to
// write: so what it writes while there is no plugin stays there, as far as it fits.
const egressPipe = "egress"

// joinEgress has a task started in the network that its rules name. Who starts it closes
// what is returned, which is nil if there are no rules.
func joinEgress(cfg *drivers.TaskConfig, p *prepared) (*egress.Network, error) {
	if p.Egress == nil {
		return nil, nil
	}
	name := filepath.Join(p.state.StateDir, egressPipe)
	if err := unix.Mkfifo(name, 0o600); err != nil {
		return nil, fmt.Errorf("egress: making %s: %w", plain.Name(name), err)
	}
	reports, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("egress: %w", err)
	}
	defer reports.Close()
	var connections *os.File
	if p.Egress.Log {
		if connections, err = denials.OpenFile(cfg.AllocDir, cfg.Name+".egress.ndjson"); err != nil {
			return nil, fmt.Errorf("egress_log: %w", err)
		}
		defer connections.Close()
	}
	network, err := p.Egress.Open(p.Policy.ABI, reports, connections)
	if err != nil {
		return nil, fmt.Errorf("capability_policy: egress: %w", err)
	}
	network.Join(p.Plan)
	return network, nil
}

// openEgressEvents opens what a task's forwarder has to tell, nil if it has none.
func openEgressEvents(dir string) *os.File {
	// Without waiting for a writer.
	f, err := os.OpenFile(filepath.Join(dir, egressPipe), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	return f
}

// publishedPorts are those that the group's network maps to the task, on the node.
func publishedPorts(cfg *drivers.TaskConfig) (ports []netip.AddrPort) {
	if cfg.Resources == nil || cfg.Resources.Ports == nil {
		return nil
	}
	for _, p := range *cfg.Resources.Ports {
		address, err := netip.ParseAddr(p.HostIP)
		if err != nil {
			address = netip.IPv4Unspecified()
		}
		if p.Value > 0 && p.Value <= 65535 {
			ports = append(ports, netip.AddrPortFrom(address.Unmap(), uint16(p.Value)))
		}
	}
	return ports
}

// egressWorks reports whether tasks with egress can run on this node. What it takes is the
// kernel's, and does not go away. What it lacks may be memory or descriptors: that is
// tried again, with each fingerprint.
func (d *Driver) egressWorks() bool {
	e := &d.egress
	e.lock.Lock()
	defer e.lock.Unlock()
	if e.works {
		return true
	}
	err := e.try()
	if e.works = err == nil; e.works {
		return true
	}
	if reason := err.Error(); reason != e.refused {
		e.refused = reason
		d.logger.Info("tasks with egress cannot run here", "reason", err)
	}
	return false
}
