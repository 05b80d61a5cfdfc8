// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

// inHarnOnly are fields of Harn's CapabilityPolicy that its virtual machine
// enforces on calls inside of it. They mean nothing to a kernel, and leaving
// them out admits nothing more to a process.
var inHarnOnly = []string{"tools", "tools_restricted", "tool_annotations", "tool_arg_constraints", "recursion_limit"}

// refused are fields of Harn's CapabilityPolicy that would change what the
// kernel must admit or deny, in ways that this driver does not offer.
var refused = map[string]string{
	"process_sandbox":       "give the roots as workspace_roots and read_only_roots",
	"process_network_proxy": "it is installed by Harn's host only",
}

// DecodeJSON decodes a policy as Harn writes it. notes names the fields that
// are not enforced by the kernel. An unknown field is an error, though Harn
// itself would pass over it: a misspelled restriction must not disappear.
func DecodeJSON(data []byte) (p *Policy, notes []string, err error) {
	var fields map[string]json.RawMessage
	decoder := json.NewDecoder(bytes.NewReader(data))
	if err := decoder.Decode(&fields); err != nil {
		return nil, nil, fmt.Errorf("the policy is not a JSON object: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, nil, errors.New("the policy has something behind its JSON object")
	}

	p = &Policy{}
	var denyAll bool
	targets := map[string]any{
		"sandbox_profile":         &p.SandboxProfile,
		"side_effect_level":       &p.SideEffectLevel,
		"workspace_roots":         &p.WorkspaceRoots,
		"read_only_roots":         &p.ReadOnlyRoots,
		"capabilities":            &p.Capabilities,
		"capabilities_restricted": &denyAll,
		"tcp_connect":             &p.TCPConnect,
		"tcp_bind":                &p.TCPBind,
		"unix_socket_roots":       &p.UnixSocketRoots,
		"local_ipc":               &p.LocalIPC,
		"devices":                 &p.Devices,
		"min_landlock_abi":        &p.MinLandlockABI,
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		raw := fields[name]
		target, known := targets[name]
		switch {
		case known:
			if err := json.Unmarshal(raw, target); err != nil {
				return nil, nil, fmt.Errorf("%s: %w", name, err)
			}
		case slices.Contains(inHarnOnly, name):
			notes = append(notes, name+" is not enforced by the kernel")
		case refused[name] != "":
			if empty(raw) {
				continue
			}
			return nil, nil, fmt.Errorf("%s is not supported: %s", name, refused[name])
		default:
			names := slices.Sorted(maps.Keys(targets))
			return nil, nil, fmt.Errorf("unknown field %q%s", name, expected(name, names))
		}
	}
	// Harn marks "deny all" apart from the map, whose absence means "no limit".
	if denyAll && p.Capabilities == nil {
		p.Capabilities = map[string][]string{}
	}
	return p, notes, nil
}

func empty(raw json.RawMessage) bool {
	s := string(bytes.TrimSpace(raw))
	return s == "null" || s == "{}"
}
