// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/burin-labs/nomad-driver-harn/internal/plain"
)

// A block that is printed has values. Where the job's has an expression of which only the
// value is known, as var.roots, the printed block would be another job: right for this value
// alone.

// faithful looks for such expressions.
type faithful struct {
	task    string
	unknown []string // variables of a node's that are printed as they are written
	found   string   // the first expression, and where it is
}

// expressionIn is the first expression in a task's policy that would not be printed as it is
// written, and its line; "" if there is none.
func expressionIn(text []byte, task string, unknown []string) string {
	file, diags := hclsyntax.ParseConfig(text, "", hcl.InitialPos)
	if diags.HasErrors() {
		return "the file is not in HCL's own syntax"
	}
	f := &faithful{task: task, unknown: unknown}
	f.within(file.Body.(*hclsyntax.Body), text, []string{"job", "group", "task", "config", policyBlock})
	return f.found
}

const policyBlock = "capability_policy"

// within goes down the blocks that lead to the policy.
func (f *faithful) within(body *hclsyntax.Body, text []byte, way []string) {
	if len(way) == 0 {
		f.all(body, text)
		return
	}
	if attribute := body.Attributes[way[0]]; attribute != nil {
		f.check(attribute.Expr, text)
	}
	for _, block := range body.Blocks {
		name := func() string { return slices.Concat(block.Labels, []string{""})[0] }
		switch {
		case block.Type == "dynamic" && slices.Contains(way, name()):
			f.say(block.Range(), "dynamic "+plain.Quote(name()))
		case block.Type == "task" && name() != f.task:
		case block.Type == way[0]:
			f.within(block.Body, text, way[1:])
		case block.Type == "task" && way[0] == "group": // a group of its own
			f.within(block.Body, text, way[2:])
		}
	}
}

func (f *faithful) all(body *hclsyntax.Body, text []byte) {
	for _, attribute := range body.Attributes {
		f.check(attribute.Expr, text)
	}
	for _, block := range body.Blocks {
		if block.Type == "dynamic" {
			f.say(block.Range(), "dynamic")
		}
		f.all(block.Body, text)
	}
}

func (f *faithful) check(expr hclsyntax.Expression, text []byte) {
	switch e := expr.(type) {
	case *hclsyntax.LiteralValueExpr:
		return
	case *hclsyntax.TemplateExpr:
		for _, part := range e.Parts {
			f.part(part, text)
		}
		return
	case *hclsyntax.TemplateWrapExpr:
		f.part(e.Wrapped, text)
		return
	case *hclsyntax.TupleConsExpr:
		for _, element := range e.Exprs {
			f.check(element, text)
		}
		return
	case *hclsyntax.ObjectConsExpr:
		for _, item := range e.Items {
			if key, is := item.KeyExpr.(*hclsyntax.ObjectConsKeyExpr); is && hcl.ExprAsKeyword(key) == "" {
				f.check(key.Wrapped, text)
			}
			f.check(item.ValueExpr, text)
		}
		return
	case *hclsyntax.UnaryOpExpr:
		if _, is := e.Val.(*hclsyntax.LiteralValueExpr); is {
			return
		}
	}
	f.say(expr.Range(), string(expr.Range().SliceBytes(text)))
}

// part is one of a template: text, or a variable of a node's.
func (f *faithful) part(expr hclsyntax.Expression, text []byte) {
	if variable, is := expr.(*hclsyntax.ScopeTraversalExpr); is {
		name, _ := written(variable.Traversal)
		// The directories have names in a policy that say the same.
		if slices.Contains([]string{"NOMAD_TASK_DIR", "NOMAD_ALLOC_DIR", "NOMAD_SECRETS_DIR"}, name) || slices.Contains(f.unknown, "${"+name+"}") {
			return
		}
	}
	f.check(expr, text)
}

func (f *faithful) say(at hcl.Range, what string) {
	if f.found == "" {
		f.found = fmt.Sprintf("line %d: %s", at.Start.Line, plain.Line(what))
	}
}
