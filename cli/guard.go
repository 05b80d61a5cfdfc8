// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"github.com/burin-labs/nomad-driver-harn/cli/command"
	"github.com/burin-labs/nomad-driver-harn/sandbox"
	"github.com/burin-labs/nomad-driver-harn/suggest"
)

// newGuard knows what is closed on this host, by the driver and by the agent's
// configuration file, "" for none.
func newGuard(s *command.Streams, operator *sandbox.Settings, config string) (*suggest.Guard, error) {
	closed, err := sandbox.ClosedPaths(operator)
	if err != nil {
		return nil, err
	}
	guard := &suggest.Guard{}
	for _, path := range closed {
		guard.Places = append(guard.Places, suggest.Place{Path: path, Why: "closed to every task, by the driver or the plugin option masked_paths"})
	}
	if config == "" {
		return guard, nil
	}
	directories, err := s.Reader.Directories(config)
	if err != nil {
		return nil, err
	}
	for _, agents := range directories {
		guard.Places = append(guard.Places, suggest.Place{Path: agents.Path(), Why: "a directory of the Nomad agent's"})
	}
	return guard, nil
}
