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
)

// HCL prints the changed policy as the block of a job, each change with the
// denials that ask for it.
func (s *Suggestion) HCL() string {
	var b strings.Builder
	b.WriteString("capability_policy {\n")
	p := s.Policy
	scalar := func(field, value string) {
		if value != `""` && value != "false" && value != "0" {
			fmt.Fprintf(&b, "  %s = %s%s\n", field, value, s.comment(field, value))
		}
	}
	scalar("sandbox_profile", quote(p.SandboxProfile))
	scalar("side_effect_level", quote(p.SideEffectLevel))
	list(s, &b, "workspace_roots", p.WorkspaceRoots, quote)
	list(s, &b, "read_only_roots", p.ReadOnlyRoots, quote)
	list(s, &b, "tcp_connect", p.TCPConnect, strconv.Itoa)
	list(s, &b, "tcp_bind", p.TCPBind, strconv.Itoa)
	list(s, &b, "unix_socket_roots", p.UnixSocketRoots, quote)
	list(s, &b, "devices", p.Devices, quote)
	if p.LocalIPC != nil {
		fmt.Fprintf(&b, "  local_ipc = %t%s\n", *p.LocalIPC, s.comment("local_ipc", strconv.FormatBool(*p.LocalIPC)))
	}
	scalar("min_landlock_abi", strconv.Itoa(p.MinLandlockABI))
	if p.Capabilities != nil {
		names := slices.Sorted(maps.Keys(p.Capabilities))
		open, name := "  capabilities {\n", func(name string) string { return name }
		if slices.ContainsFunc(names, func(name string) bool { return !hclsyntax.ValidIdentifier(name) }) {
			open, name = "  capabilities = {\n", quote // a block has no such names, a map has
		}
		b.WriteString(open)
		for _, capability := range names {
			var quoted, comments []string
			for _, operation := range p.Capabilities[capability] {
				quoted = append(quoted, quote(operation))
				comments = append(comments, s.whyOf("capabilities."+capability, quote(operation))...)
			}
			fmt.Fprintf(&b, "    %s = [%s]%s\n", name(capability), strings.Join(quoted, ", "), remark(comments))
		}
		b.WriteString("  }\n")
	}
	b.WriteString("}\n")
	return b.String()
}

func list[T any](s *Suggestion, b *strings.Builder, field string, values []T, format func(T) string) {
	if values == nil {
		return
	}
	if len(values) == 0 {
		fmt.Fprintf(b, "  %s = []\n", field)
		return
	}
	fmt.Fprintf(b, "  %s = [\n", field)
	for _, value := range values {
		text := format(value)
		fmt.Fprintf(b, "    %s,%s\n", text, s.comment(field, text))
	}
	b.WriteString("  ]\n")
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
