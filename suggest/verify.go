// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package suggest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
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
	for _, p := range []*policy.Policy{got, want} {
		if len(p.Devices) == 0 { // an empty list of these means nothing
			p.Devices = nil
		}
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
	p := &policy.Policy{}
	return p, readBlock(body.Blocks[0].Body, policy.Fields(), p)
}

// readBlock reads what is in a block that has these fields.
func readBlock(body *hclsyntax.Body, fields []policy.Field, p *policy.Policy) error {
	row := func(name string) *policy.Field {
		i := slices.IndexFunc(fields, func(f policy.Field) bool { return f.Key() == name })
		if i < 0 {
			return nil
		}
		return &fields[i]
	}
	for name, attribute := range body.Attributes {
		f := row(name)
		if f == nil || f.Kind == policy.Block {
			return fmt.Errorf("it has the field %s", plain.Name(name))
		}
		var err error
		if all, ok := f.Value(p).(*map[string][]string); ok {
			err = readOperations(all, attribute.Expr)
		} else {
			err = decode(attribute.Expr, f.Value(p))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	for _, block := range body.Blocks {
		f := row(block.Type)
		if f == nil || len(block.Labels) != 0 || f.Present(p) {
			return fmt.Errorf("it has the block %s", plain.Name(block.Type))
		}
		switch all, operations := f.Value(p).(*map[string][]string); {
		case operations && len(block.Body.Blocks) == 0:
			*all = map[string][]string{}
			for name, attribute := range block.Body.Attributes {
				values := []string{}
				if err := decode(attribute.Expr, &values); err != nil {
					return err
				}
				(*all)[name] = values
			}
		case f.Kind == policy.Block:
			f.Add(p)
			if err := readBlock(block.Body, f.Members, p); err != nil {
				return err
			}
		default:
			return fmt.Errorf("it has the block %s", plain.Name(block.Type))
		}
	}
	return nil
}

func readOperations(all *map[string][]string, expr hclsyntax.Expression) error {
	value, diags := expr.Value(nil)
	if diags.HasErrors() {
		return diags
	}
	*all = map[string][]string{}
	for it := value.ElementIterator(); it.Next(); {
		key, element := it.Element()
		operations := []string{}
		if err := fromCty(element, &operations); err != nil {
			return err
		}
		(*all)[key.AsString()] = operations
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

// isTemplate says that the Nomad client would evaluate a text, however it is written in
// the job: it takes every text of a config block for a template, with functions.
func isTemplate(text string) bool {
	return strings.Contains(text, "${") || strings.Contains(text, "%{")
}

// inexpressible says why a job cannot name a path, "" if it can.
func inexpressible(path string) string {
	switch {
	case !utf8.ValidString(path) || strings.ContainsRune(path, utf8.RuneError):
		return "its name is no UTF-8: no job can name it, name the directory above by hand"
	case strings.ContainsRune(path, 0):
		return "its name holds a NUL byte: no file has it"
	case isTemplate(path):
		return "the Nomad client would take a part of its name for a variable or an expression: name the directory above by hand"
	}
	var got string
	expr, diags := hclsyntax.ParseExpression([]byte(quote(path)), "name", hcl.InitialPos)
	if diags.HasErrors() || decode(expr, &got) != nil || got != path {
		return "HCL cannot express its name: name the directory above by hand"
	}
	return ""
}
