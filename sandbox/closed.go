// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import "slices"

// ClosedPaths are what no task gets to see, whatever its policy says: the built-in
// masks, the operator's masked_paths, the directory of the driver's records. s are the
// operator's settings, nil for the defaults.
func ClosedPaths(s *Settings) ([]string, error) {
	settings, err := s.orDefault()
	if err != nil {
		return nil, err
	}
	return slices.Concat(builtinMasks, kernelMasks, engineSockets, settings.MaskedPaths, []string{settings.StateDir}), nil
}
