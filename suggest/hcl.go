// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package suggest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// HCL prints the changed policy as the block of a job, each change with the
// denials that ask for it.
func (s *Suggestion) HCL() string {
	var b strings.Builder
	b.WriteString("capability_policy {\n")
	s.fields(&b, "  ", policy.Fields())
	b.WriteString("}\n")
	return b.String()
}

// Additions prints the changes alone, field by field.
func (s *Suggestion) Additions() string {
	var b strings.Builder
	done := map[string]bool{}
	b.WriteString("# in capability_policy\n")
	for _, c := range s.Changes {
		if done[c.Field] {
			continue
		}
		done[c.Field] = true
		block, key, nested := strings.Cut(c.Field, ".")
		margin := ""
		if nested {
			b.WriteString(block + " {\n")
			margin = "  "
		} else {
			key = block
		}
		var field *policy.Field
		if field = policy.Find(c.Field); field == nil {
			field = policy.Find(block)
		}
		switch field.Value(s.withBlocks()).(type) {
		case *string, *int, *bool, **bool:
			fmt.Fprintf(&b, "%s%s = %s%s\n", margin, key, written(c.Value), remark(c.Why))
		default:
			fmt.Fprintf(&b, "%s%s = [ # beside what is there\n", margin, key)
			if roots := s.Policy.WorkspaceRoots; c.Field == "workspace_roots" && len(roots) > 0 && roots[0] == "." {
				fmt.Fprintf(&b, "%s  \".\",\n", margin) // what absent means
			}
			for _, other := range s.Changes {
				if other.Field == c.Field {
					fmt.Fprintf(&b, "%s  %s,%s\n", margin, written(other.Value), remark(other.Why))
				}
			}
			b.WriteString(margin + "]\n")
		}
		if nested {
			b.WriteString("}\n")
		}
	}
	return b.String()
}

// withBlocks is a policy with all blocks.
func (*Suggestion) withBlocks() *policy.Policy {
	return &policy.Policy{ProcessSandbox: &policy.ProcessSandbox{}, Extensions: policy.Extensions{Egress: &policy.Egress{}}}
}

// written is a change's value in HCL.
func written(value any) string {
	if text, is := value.(string); is {
		return quote(text)
	}
	return fmt.Sprint(value)
}

// fields prints those that say something.
func (s *Suggestion) fields(b *strings.Builder, margin string, fields []policy.Field) {
	for i := range fields {
		f := &fields[i]
		if !f.Present(s.Policy) {
			continue
		}
		scalar := func(value string) {
			fmt.Fprintf(b, "%s%s = %s%s\n", margin, f.Key(), value, s.comment(f.Name, value))
		}
		switch value := f.Value(s.Policy).(type) {
		case *string:
			scalar(quote(*value))
		case *int:
			scalar(strconv.Itoa(*value))
		case *bool:
			scalar(strconv.FormatBool(*value))
		case **bool:
			scalar(strconv.FormatBool(**value))
		case *[]string:
			list(s, b, margin, f, *value, quote)
		case *[]int:
			list(s, b, margin, f, *value, strconv.Itoa)
		case *map[string][]string:
			s.operations(b, margin, f, *value)
		default:
			fmt.Fprintf(b, "%s%s {\n", margin, f.Key())
			s.fields(b, margin+"  ", f.Members)
			b.WriteString(margin + "}\n")
		}
	}
}

func (s *Suggestion) operations(b *strings.Builder, margin string, f *policy.Field, all map[string][]string) {
	names := slices.Sorted(maps.Keys(all))
	open, name := " {\n", func(name string) string { return name }
	if slices.ContainsFunc(names, func(name string) bool { return !hclsyntax.ValidIdentifier(name) }) {
		open, name = " = {\n", quote // a block has no such names, a map has
	}
	b.WriteString(margin + f.Key() + open)
	for _, capability := range names {
		var quoted, comments []string
		for _, operation := range all[capability] {
			quoted = append(quoted, quote(operation))
			comments = append(comments, s.whyOf(f.Name+"."+capability, quote(operation))...)
		}
		fmt.Fprintf(b, "%s  %s = [%s]%s\n", margin, name(capability), strings.Join(quoted, ", "), remark(comments))
	}
	b.WriteString(margin + "}\n")
}

func list[T any](s *Suggestion, b *strings.Builder, margin string, f *policy.Field, values []T, format func(T) string) {
	if len(values) == 0 {
		fmt.Fprintf(b, "%s%s = []\n", margin, f.Key())
		return
	}
	fmt.Fprintf(b, "%s%s = [\n", margin, f.Key())
	for _, value := range values {
		text := format(value)
		fmt.Fprintf(b, "%s  %s,%s\n", margin, text, s.comment(f.Name, text))
	}
	b.WriteString(margin + "]\n")
}

func (s *Suggestion) comment(field, value string) string { return remark(s.whyOf(field, value)) }

func (s *Suggestion) whyOf(field, value string) []string {
	for _, c := range s.Changes {
		text := fmt.Sprint(c.Value)
		if name, ok := c.Value.(string); ok {
			text = quote(name)
		}
		if c.Field == field && text == value {
			return c.Why
		}
	}
	return nil
}

// remark is a comment behind a line: one line of text, of no great length.
func remark(why []string) string {
	const most = 3
	if len(why) == 0 {
		return ""
	}
	text := strings.Join(why[:min(most, len(why))], "; ")
	if rest := len(why) - most; rest > 0 {
		text += fmt.Sprintf("; and %d more", rest)
	}
	return " # " + plain.Line(text)
}

// quote writes a string of HCL, which has fewer escapes than Go, and in which ${ and
// %{ begin a template.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	var before rune
	for i, r := range s {
		template := (r == '$' || r == '%') && strings.HasPrefix(s[i+1:], "{")
		switch {
		case template && before != r: // "$$${" would be something else
			b.WriteRune(r)
			b.WriteRune(r)
		case r == '"' || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r > 0xffff && !strconv.IsPrint(r):
			fmt.Fprintf(&b, `\U%08x`, r)
		case template || !strconv.IsPrint(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
		before = r
	}
	b.WriteByte('"')
	return b.String()
}
