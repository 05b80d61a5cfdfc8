// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/nomad/plugins/base"
	"github.com/hashicorp/nomad/plugins/shared/hclspec"

	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// Nomad checks a config block against the schema before the driver sees it, and says of a
// wrong value in a block neither in which field it is nor what was expected; an empty list
// in the place of a block it takes for no block at all. So the schema that Nomad gets takes
// anything for a block, and the driver checks what is in it.

// loosened is the schema for Nomad: blocks are of any type.
func loosened(spec *hclspec.Spec) *hclspec.Spec {
	attributes := map[string]*hclspec.Spec{}
	for name, member := range spec.GetObject().GetAttributes() {
		switch member.Block.(type) {
		case *hclspec.Spec_BlockValue, *hclspec.Spec_BlockAttrs, *hclspec.Spec_BlockMap:
			member = hclspec.NewAttr(name, "any", false)
		}
		attributes[name] = member
	}
	return hclspec.NewObject(attributes)
}

// decode decodes what Nomad sends of a config block into a struct, and checks it by the schema.
func decode(spec *hclspec.Spec, into any, get func(any) error) error {
	var tree map[string]any
	if err := get(&tree); err != nil {
		return fmt.Errorf("Nomad has sent what is no config block: %w", err)
	}
	c := &checker{}
	tree, _ = c.object("", spec.GetObject().GetAttributes(), tree).(map[string]any)
	if err := plain.Join(c.problems...); err != nil {
		return err
	}
	var data []byte
	if err := base.MsgPackEncode(&data, tree); err != nil {
		return err
	}
	return base.MsgPackDecode(data, into)
}

// checker makes of values what a schema says. It collects what is wrong.
type checker struct{ problems []error }

func (c *checker) wrong(field, format string, args ...any) any {
	// The option first, as everywhere, and the field in it.
	field = strings.Replace(field, ".", ": ", 1)
	c.problems = append(c.problems, fmt.Errorf("%s: %s", field, fmt.Sprintf(format, args...)))
	return nil
}

// object checks the members of a block. What it returns has all of them, nil where the block
// has none, as Nomad's own decoder has it: of the blocks of a name the decoder makes structs
// in one place, and what is not said of the next one would be the last one's.
func (c *checker) object(field string, members map[string]*hclspec.Spec, object map[string]any) any {
	out := map[string]any{}
	for name := range members {
		out[name] = nil
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		spec, known := members[name]
		at := strings.TrimPrefix(field+"."+name, ".")
		switch {
		case !known && field == "":
			c.problems = append(c.problems, fmt.Errorf("unknown option %q%s", name, policy.Expected(name, slices.Sorted(maps.Keys(members)))))
		case !known:
			c.wrong(field, "unknown field %q%s", name, policy.Expected(name, slices.Sorted(maps.Keys(members))))
		case object[name] != nil:
			out[name] = c.value(at, spec, object[name])
		}
	}
	return out
}

func (c *checker) value(field string, spec *hclspec.Spec, value any) any {
	switch spec := spec.Block.(type) {
	case *hclspec.Spec_Default:
		return c.value(field, spec.Default.Primary, value)
	case *hclspec.Spec_Attr:
		return c.attribute(field, spec.Attr.Type, value, false)
	case *hclspec.Spec_BlockValue:
		block := c.block(field, value)
		if block == nil {
			return nil
		}
		return c.object(field, spec.BlockValue.Nested.GetObject().GetAttributes(), block)
	case *hclspec.Spec_BlockAttrs:
		out := map[string]any{}
		block := c.block(field, value)
		for _, name := range slices.Sorted(maps.Keys(block)) {
			out[name] = c.attribute(field+"."+plain.Name(name), spec.BlockAttrs.Type, block[name], true)
		}
		return out
	case *hclspec.Spec_BlockMap:
		return c.labeled(field, spec.BlockMap, value)
	}
	return c.wrong(field, "the driver has no decoder for it")
}

// block is the content of a block that is there once.
func (c *checker) block(field string, value any) map[string]any {
	switch value := value.(type) {
	case map[string]any:
		return value
	case []any:
		if len(value) > 1 && areBlocks(value) {
			c.wrong(field, "the block is there %d times, expected once", len(value))
			return nil
		}
		if len(value) == 1 && areBlocks(value) {
			return value[0].(map[string]any)
		}
	}
	c.wrong(field, "it is %s, expected a block: %s { ... }", found(value), lastOf(field))
	return nil
}

// labeled are blocks by their label.
func (c *checker) labeled(field string, spec *hclspec.BlockMap, value any) any {
	list, isList := value.([]any)
	if !isList {
		list = []any{value}
	}
	out := map[string]any{}
	if !areBlocks(list) {
		return c.wrong(field, "it is %s, expected a block with a name: %s \"NAME\" { ... }", found(value), lastOf(field))
	}
	for _, block := range list {
		block := block.(map[string]any)
		for _, label := range slices.Sorted(maps.Keys(block)) {
			content := block[label]
			at := field + "." + plain.Name(label)
			if _, is := content.(map[string]any); !is && !isBlocks(content) {
				c.wrong(at, "it is %s, expected a block with a name: %s \"NAME\" { ... }", found(content), lastOf(field))
				continue
			}
			if out[label] != nil {
				c.wrong(at, "the block is there several times, expected once")
				continue
			}
			if block := c.block(at, content); block != nil {
				out[label] = c.object(at, spec.Nested.GetObject().GetAttributes(), block)
			}
		}
	}
	return out
}

// attribute is a value of one of the types that the schemas have. What is put in the place
// of a variable is always text: so text that says a number or a truth is one. In a block of
// any names, a number or a truth is text, too.
func (c *checker) attribute(field, kind string, value any, lenient bool) any {
	element, isList := strings.CutPrefix(kind, "list(")
	if !isList {
		return c.scalar(field, kind, value, lenient)
	}
	element = strings.TrimSuffix(element, ")")
	list, ok := value.([]any)
	if !ok || isBlocks(value) {
		return c.wrong(field, "it is %s, expected %s", found(value), expectedOf(kind))
	}
	out := make([]any, len(list))
	for i, v := range list {
		if v == nil && element == "string" {
			v = ""
		}
		out[i] = c.scalar(fmt.Sprintf("%s[%d]", field, i), element, v, false)
	}
	return out
}

func (c *checker) scalar(field, kind string, value any, lenient bool) any {
	text, isText := value.(string)
	switch {
	case kind == "string" && isText:
		return text
	case kind == "string" && lenient && isNumber(value):
		return fmt.Sprint(value)
	case kind == "number" && isText:
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n
		}
	case kind == "number":
		switch n := value.(type) {
		case int64:
			return n
		case uint64:
			if int64(n) >= 0 {
				return int64(n)
			}
		}
	case kind == "bool":
		if b, is := value.(bool); is {
			return b
		}
		if text == "true" || text == "false" {
			return text == "true"
		}
	}
	return c.wrong(field, "it is %s, expected %s", found(value), expectedOf(kind))
}

func isNumber(value any) bool {
	switch value.(type) {
	case int64, uint64, float64, bool:
		return true
	}
	return false
}

// areBlocks reports whether a list is how a block arrives, written once or several times.
func areBlocks(list []any) bool {
	return len(list) > 0 && !slices.ContainsFunc(list, func(v any) bool { _, is := v.(map[string]any); return !is })
}

func isBlocks(value any) bool {
	list, is := value.([]any)
	return is && areBlocks(list)
}

// found names a value, as its author wrote it.
func found(value any) string {
	switch value := value.(type) {
	case nil:
		return "null"
	case string:
		return "the string " + plain.Quote(value)
	case bool:
		return strconv.FormatBool(value)
	case int64, uint64:
		return fmt.Sprintf("the number %d", value)
	case float64:
		return "the number " + strconv.FormatFloat(value, 'g', -1, 64)
	case map[string]any:
		return "a block or a map"
	case []any:
		switch {
		case len(value) == 0:
			return "an empty list"
		case areBlocks(value):
			return "a block"
		}
		return "a list"
	}
	return fmt.Sprintf("of the type %T", value)
}

// expectedOf says what is written for a type of the schemas.
func expectedOf(kind string) string {
	return map[string]string{
		"string": `a string, as "x"`, "number": "a whole number, as 1", "bool": "true or false",
		"list(string)": `a list of strings, as ["x"]`, "list(number)": "a list of whole numbers, as [443]",
	}[kind]
}

func lastOf(field string) string { return field[strings.LastIndexByte(field, '.')+1:] }
