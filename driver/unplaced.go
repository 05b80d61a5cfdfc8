// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"slices"
	"strings"

	"github.com/hashicorp/nomad/plugins/shared/hclspec"
)

// LeaveOutUnknown takes out of a task's config block what cannot be judged as long as a
// variable in it has no value: numbers, truths, and rules for hosts, which have a form of
// their own. Texts and paths stay as they are written. In lists the other elements stay.
func LeaveOutUnknown(config map[string]any) {
	leaveOut(taskConfigSpec.GetObject().GetAttributes(), config)
}

func leaveOut(members map[string]*hclspec.Spec, config map[string]any) {
	for name, value := range config {
		spec := members[name]
		if spec == nil {
			continue
		}
		if block := spec.GetBlockValue(); block != nil {
			inside := block.GetNested().GetObject().GetAttributes()
			switch value := value.(type) {
			case map[string]any:
				leaveOut(inside, value)
			case []map[string]any:
				for _, one := range value {
					leaveOut(inside, one)
				}
			}
			continue
		}
		attr := spec.GetAttr()
		if attr == nil {
			attr = spec.GetDefault().GetPrimary().GetAttr()
		}
		rules := name == "allow" || name == "deny" // of egress
		if attr == nil || strings.Contains(attr.Type, "string") && !rules {
			continue
		}
		switch value := value.(type) {
		case string:
			if hasVariable(value) {
				delete(config, name)
			}
		case []any:
			config[name] = slices.DeleteFunc(slices.Clone(value), hasVariable)
		}
	}
}

// hasVariable reports whether a value is a text with a variable, which may be escaped.
func hasVariable(value any) bool {
	text, isText := value.(string)
	return isText && (strings.Contains(text, "${") || strings.Contains(text, "%{"))
}
