// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"maps"
	"slices"

	"github.com/hashicorp/nomad/plugins/shared/hclspec"
)

// PluginOptions are the names of the plugin's options, sorted.
func PluginOptions() []string { return optionsOf(configSpec) }

// TaskOptions are the names of the options in a task's config block, sorted.
func TaskOptions() []string { return optionsOf(taskConfigSpec) }

func optionsOf(spec *hclspec.Spec) []string {
	return slices.Sorted(maps.Keys(spec.GetObject().GetAttributes()))
}
