// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import "slices"

// ClosedPaths are what no task gets to see, whatever its policy says: the built-in
// masks, the operator's masked_paths, the directory of the driver's records. o is the
// plugin's configuration, nil for the default one.
func ClosedPaths(o *Config) ([]string, error) {
	config, err := o.orDefault()
	if err != nil {
		return nil, err
	}
	return slices.Concat(builtinMasks, kernelMasks, engineSockets, config.MaskedPaths, []string{config.StateDir}), nil
}
