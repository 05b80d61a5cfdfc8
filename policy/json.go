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
	"reflect"
	"slices"
)

// inHarnOnly are fields of Harn's CapabilityPolicy that its virtual machine
// enforces on calls inside of it. They mean nothing to a kernel, and leaving
// them out admits nothing more to a process.
var inHarnOnly = []string{"tools", "tools_restricted", "tool_annotations", "tool_arg_constraints", "recursion_limit"}

// refused are fields of Harn's CapabilityPolicy that would change what the
// kernel must admit or deny, in ways that this driver does not offer.
var refused = map[string]string{
	"process_network_proxy": "it is installed by Harn's host only",
}

// restricted is Harn's mark of a policy that grants no capability: on its wire, a map
// without any means that there is no limit.
const restricted = "capabilities_restricted"

// DecodeJSON decodes a policy as Harn writes it. notes names the fields that
// are not enforced by the kernel. An unknown field is an error, though Harn
// itself would pass over it: a misspelled restriction must not disappear.
func DecodeJSON(data []byte) (p *Policy, notes []string, err error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	var object map[string]json.RawMessage
	if err := decoder.Decode(&object); err != nil {
		return nil, nil, fmt.Errorf("the policy is not a JSON object: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, nil, errors.New("the policy has something behind its JSON object")
	}

	p = &Policy{}
	var denyAll bool
	if raw, ok := object[restricted]; ok {
		if err := json.Unmarshal(raw, &denyAll); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", restricted, err)
		}
		delete(object, restricted)
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		raw := object[name]
		switch {
		case slices.Contains(inHarnOnly, name):
			if !empty(raw) {
				notes = append(notes, name+" is not enforced by the kernel")
			}
			delete(object, name)
		case refused[name] != "" && empty(raw):
			delete(object, name)
		case refused[name] != "":
			return nil, nil, fmt.Errorf("%s is not supported: %s", name, refused[name])
		}
	}
	if err := decodeObject(object, "", Fields(), p); err != nil {
		return nil, nil, err
	}
	p.forgetEmptyProcess()
	switch {
	case denyAll && p.Capabilities == nil:
		p.Capabilities = map[string][]string{}
	case !denyAll && len(p.Capabilities) == 0:
		p.Capabilities = nil
	}
	return p, notes, nil
}

// forgetEmptyProcess takes away what Harn always writes of processes, though it says nothing.
func (p *Policy) forgetEmptyProcess() {
	if p.ProcessSandbox == nil {
		return
	}
	p.Each(func(f *Field) {
		if f.Kind == Paths && f.member() && len(*f.list(p)) == 0 {
			*f.list(p) = nil
		}
	})
	if reflect.ValueOf(*p.ProcessSandbox).IsZero() {
		p.ProcessSandbox = nil
	}
}

// decodeObject decodes the fields of an object, or of a block.
func decodeObject(object map[string]json.RawMessage, block string, fields []Field, p *Policy) error {
	for _, name := range slices.Sorted(maps.Keys(object)) {
		i := slices.IndexFunc(fields, func(f Field) bool { return f.Key() == name })
		if i < 0 {
			var names []string
			for i := range fields {
				names = append(names, fields[i].Key())
			}
			return fmt.Errorf("unknown field %q%s", block+name, Expected(name, names))
		}
		f := &fields[i]
		if f.Kind != Block {
			if err := json.Unmarshal(object[name], f.Value(p)); err != nil {
				return fmt.Errorf("%s: %w", f.Name, wrongType(f.Kind, err))
			}
			continue
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(object[name], &members); err != nil {
			return fmt.Errorf("%s: expected a JSON object: %w", f.Name, err)
		}
		if members == nil {
			continue
		}
		f.Add(p)
		if err := decodeObject(members, f.Name+".", f.Members, p); err != nil {
			return err
		}
	}
	return nil
}

// wrongType says of a value of another type what was expected, in the words of the
// documents and not in those of Go.
func wrongType(kind Kind, err error) error {
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) {
		return err
	}
	return fmt.Errorf("it is or holds a JSON %s, expected %s", wrong.Value, kind.inJSON())
}

// inJSON says how a value of this kind is written.
func (k Kind) inJSON() string {
	switch k {
	case Word, Text:
		return `a string, as "x"`
	case Ports:
		return "a list of numbers, as [443]"
	case Number:
		return "a number, as 1"
	case Switch, Choice:
		return "true or false"
	case Operations:
		return `lists of strings by name, as {"workspace": ["read_text"]}`
	}
	return `a list of strings, as ["x"]`
}

// empty reports whether a value says nothing.
func empty(raw json.RawMessage) bool {
	switch string(bytes.TrimSpace(raw)) {
	case "null", "{}", "[]", "false":
		return true
	}
	return false
}

// MarshalJSON writes the policy as Harn reads it, and [DecodeJSON].
func (p *Policy) MarshalJSON() ([]byte, error) {
	type plain Policy
	return json.Marshal(struct {
		*plain
		Restricted bool `json:"capabilities_restricted,omitempty"`
	}{(*plain)(p), p.Capabilities != nil && len(p.Capabilities) == 0})
}
