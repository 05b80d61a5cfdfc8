// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package suggest

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/gocty"

	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// Verified is [Suggestion.HCL], read again as a job's parser reads it: it is an error
// if that is not the policy that was meant.
func (s *Suggestion) Verified() (string, error) {
	text := s.HCL()
	if !plain.Is(strings.NewReplacer("\n", "").Replace(text)) {
		return "", errors.New("the block cannot be printed: it would hold characters that are not text")
	}
	got, err := parse(text)
	if err != nil {
		return "", fmt.Errorf("the block cannot be printed: HCL cannot express it: %w", err)
	}
	want := s.Policy.Clone()
	for _, list := range []*[]string{&want.Devices} { // an empty list of these means nothing
		if len(*list) == 0 {
			*list = nil
		}
	}
	if len(got.Devices) == 0 {
		got.Devices = nil
	}
	if !reflect.DeepEqual(got, want) {
		return "", fmt.Errorf("the block cannot be printed: it would say %.500q, not %.500q", fmt.Sprintf("%+v", *got), fmt.Sprintf("%+v", *want))
	}
	return text, nil
}

// parse reads the block.
func parse(text string) (*policy.Policy, error) {
	file, diags := hclsyntax.ParseConfig([]byte(text), "suggestion", hcl.InitialPos)
	if diags.HasErrors() {
		return nil, diags
	}
	body := file.Body.(*hclsyntax.Body)
	if len(body.Attributes) != 0 || len(body.Blocks) != 1 || body.Blocks[0].Type != "capability_policy" || len(body.Blocks[0].Labels) != 0 {
		return nil, errors.New("it is not one block capability_policy")
	}
	body = body.Blocks[0].Body
	p := &policy.Policy{}
	fields := map[string]any{
		"sandbox_profile": &p.SandboxProfile, "side_effect_level": &p.SideEffectLevel,
		"workspace_roots": &p.WorkspaceRoots, "read_only_roots": &p.ReadOnlyRoots, "unix_socket_roots": &p.UnixSocketRoots,
		"tcp_connect": &p.TCPConnect, "tcp_bind": &p.TCPBind, "devices": &p.Devices, "local_ipc": &p.LocalIPC, "min_landlock_abi": &p.MinLandlockABI,
	}
	for name, attribute := range body.Attributes {
		if name == "capabilities" {
			if err := readCapabilities(p, attribute.Expr); err != nil {
				return nil, err
			}
			continue
		}
		target, known := fields[name]
		if !known {
			return nil, fmt.Errorf("it has the field %s", plain.Name(name))
		}
		if err := decode(attribute.Expr, target); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, block := range body.Blocks {
		if block.Type != "capabilities" || len(block.Labels) != 0 || p.Capabilities != nil || len(block.Body.Blocks) != 0 {
			return nil, fmt.Errorf("it has the block %s", plain.Name(block.Type))
		}
		p.Capabilities = map[string][]string{}
		for name, attribute := range block.Body.Attributes {
			operations := []string{}
			if err := decode(attribute.Expr, &operations); err != nil {
				return nil, err
			}
			p.Capabilities[name] = operations
		}
	}
	return p, nil
}

func readCapabilities(p *policy.Policy, expr hclsyntax.Expression) error {
	value, diags := expr.Value(nil)
	if diags.HasErrors() {
		return diags
	}
	p.Capabilities = map[string][]string{}
	for it := value.ElementIterator(); it.Next(); {
		key, element := it.Element()
		operations := []string{}
		if err := fromCty(element, &operations); err != nil {
			return err
		}
		p.Capabilities[key.AsString()] = operations
	}
	return nil
}

func decode(expr hclsyntax.Expression, target any) error {
	value, diags := expr.Value(nil)
	if diags.HasErrors() {
		return diags
	}
	return fromCty(value, target)
}

func fromCty(value cty.Value, target any) error {
	if value.Type().IsTupleType() {
		var element cty.Type
		switch target.(type) {
		case *[]int:
			element = cty.Number
		default:
			element = cty.String
		}
		list := []cty.Value{}
		for it := value.ElementIterator(); it.Next(); {
			_, v := it.Element()
			list = append(list, v)
		}
		if value = cty.ListValEmpty(element); len(list) > 0 {
			value = cty.ListVal(list)
		}
	}
	return gocty.FromCtyValue(value, target)
}

// interpolated is what the Nomad client would replace by the value of a variable,
// however it is written in the job.
var interpolated = regexp.MustCompile(`\$\{[a-zA-Z0-9_\-.]+\}`)

// inexpressible says why a job cannot name a path, "" if it can.
func inexpressible(path string) string {
	switch {
	case !utf8.ValidString(path) || strings.ContainsRune(path, utf8.RuneError):
		return "its name is no UTF-8: no job can name it, name the directory above by hand"
	case strings.ContainsRune(path, 0):
		return "its name holds a NUL byte: no file has it"
	case interpolated.MatchString(path):
		return "the Nomad client would take a part of its name for a variable: name the directory above by hand"
	}
	var got string
	expr, diags := hclsyntax.ParseExpression([]byte(quote(path)), "name", hcl.InitialPos)
	if diags.HasErrors() || decode(expr, &got) != nil || got != path {
		return "HCL cannot express its name: name the directory above by hand"
	}
	return ""
}
