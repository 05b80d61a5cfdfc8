// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/nomad/api"
	"github.com/hashicorp/nomad/helper/pluginutils/hclutils"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/burin-labs/nomad-driver-harn/cli/command"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
)

// Nomad's client puts values in the place of a job's variables when the task starts,
// where all of them have one: https://developer.hashicorp.com/nomad/docs/runtime/interpolation.
// Without a client those get one that it would give them for the task at hand. The
// others stay as they are written.

// values are those of variables, by the text between ${ and }, as "meta.x".
type values map[string]string

// knownValues are those that are known of a task before it is placed.
func knownValues(job *api.Job, group *api.TaskGroup, task *api.Task, at *command.Place) (values, error) {
	v := values{
		"NOMAD_TASK_DIR": at.In("local"), "NOMAD_ALLOC_DIR": at.In("alloc"), "NOMAD_SECRETS_DIR": at.In("secrets"),
		"NOMAD_TASK_NAME": task.Name, "NOMAD_GROUP_NAME": orZero(group.Name), "NOMAD_JOB_NAME": orZero(job.Name),
		"NOMAD_JOB_ID": cmp.Or(orZero(job.ID), orZero(job.Name)), "NOMAD_NAMESPACE": cmp.Or(orZero(job.Namespace), "default"),
		"NOMAD_REGION":     cmp.Or(orZero(job.Region), "global"),
		"attr.kernel.name": runtime.GOOS, "attr.cpu.arch": runtime.GOARCH,
	}
	if r := task.Resources; r != nil {
		v.number("NOMAD_CPU_LIMIT", orZero(r.CPU))
		v.number("NOMAD_MEMORY_LIMIT", orZero(r.MemoryMB))
		v.number("NOMAD_MEMORY_MAX_LIMIT", orZero(r.MemoryMaxMB))
	}
	for _, meta := range []map[string]string{job.Meta, group.Meta, task.Meta} { // the innermost counts
		for name, value := range meta {
			v["NOMAD_META_"+name], v["NOMAD_META_"+strings.ToUpper(name)] = value, value
		}
	}
	if len(group.Networks) > 0 {
		if err := v.ports(group.Networks[0], at.Runs); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func (v values) number(name string, n int) {
	if n > 0 {
		v[name] = strconv.Itoa(n)
	}
}

// ports are those of the group's network that the job says itself. Where the task
// runs here, the others are free ones of the loopback interface.
func (v values) ports(network *api.NetworkResource, runs bool) error {
	const loopback = "127.0.0.1"
	for _, port := range slices.Concat(network.ReservedPorts, network.DynamicPorts) {
		inside := port.Value
		if port.To > 0 {
			inside = port.To
		}
		if runs && inside == 0 {
			l, err := net.Listen("tcp", loopback+":0")
			if err != nil {
				return fmt.Errorf("finding a free port for %s: %w", plain.Name(port.Label), err)
			}
			inside = l.Addr().(*net.TCPAddr).Port
			l.Close()
		}
		if inside == 0 {
			continue
		}
		for _, kind := range []string{"", "ALLOC_"} {
			v["NOMAD_"+kind+"PORT_"+port.Label] = strconv.Itoa(inside)
			if runs {
				v["NOMAD_"+kind+"IP_"+port.Label] = loopback
				v["NOMAD_"+kind+"ADDR_"+port.Label] = net.JoinHostPort(loopback, strconv.Itoa(inside))
			}
		}
	}
	return nil
}

// addEnvironment makes variables of an environment, which a job can name as such,
// and by env["NAME"].
func (v values) addEnvironment(env map[string]string) {
	for name, value := range env {
		v[name] = value
	}
}

// environment are the variables that a task finds in its environment, as Nomad sets
// them.
func (v values) environment() map[string]string {
	env := map[string]string{}
	for name, value := range v {
		if strings.HasPrefix(name, "NOMAD_") {
			env[name] = value
		}
	}
	return env
}

// interpolation puts values in the place of variables.
type interpolation struct {
	values  values
	unknown map[string]bool // that have none, as they are written
}

// block goes through a config block. What it returns is for a decoder that takes
// every text for a template, as Nomad's does. field is for people.
func (i *interpolation) block(field string, value any) (any, error) {
	in := func(name string) string { return strings.TrimPrefix(field+"."+name, ".") }
	switch value := value.(type) {
	case string:
		text, err := i.text(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", field, err)
		}
		return strings.NewReplacer("${", "$${", "%{", "%%{").Replace(text), nil
	case []any:
		out := make([]any, len(value))
		for n, element := range value {
			var err error
			if out[n], err = i.block(fmt.Sprintf("%s[%d]", field, n), element); err != nil {
				return nil, err
			}
		}
		return out, nil
	case []map[string]any:
		out := make([]map[string]any, len(value))
		for n, element := range value {
			inside, err := i.block(field, element)
			if err != nil {
				return nil, err
			}
			out[n] = inside.(map[string]any)
		}
		return out, nil
	case map[string]any:
		out := map[string]any{}
		for _, name := range slices.Sorted(maps.Keys(value)) {
			var err error
			if out[name], err = i.block(in(name), value[name]); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return value, nil
}

// text evaluates a text as Nomad's client does.
func (i *interpolation) text(text string) (string, error) {
	if !strings.Contains(text, "${") && !strings.Contains(text, "%{") {
		return text, nil
	}
	expr, diags := hclsyntax.ParseTemplate([]byte(text), "", hcl.InitialPos)
	if diags.HasErrors() {
		return "", fmt.Errorf("%s is no expression that Nomad understands: %w", plain.Quote(text), inOneLine(diags))
	}
	root := branch{}
	for _, variable := range expr.Variables() {
		name, path := written(variable)
		value, known := i.lookUp(path)
		if !known {
			value = "${" + name + "}"
			i.unknown[value] = true
		}
		if _, isText := i.values[path[0]]; !known && isText || !root.put(path, value) {
			return "", fmt.Errorf("%s: the variable ${%s} is in a variable that is a text, and no group of variables", plain.Quote(text), name)
		}
	}
	result, diags := expr.Value(&hcl.EvalContext{Variables: root.values(), Functions: hclutils.GetStdlibFuncs()})
	if diags.HasErrors() {
		return "", fmt.Errorf("%s has no value: %w", plain.Quote(text), inOneLine(diags))
	}
	result, err := convert.Convert(result, cty.String)
	if err != nil || result.IsNull() || !result.IsKnown() {
		return "", fmt.Errorf("%s is no text", plain.Quote(text))
	}
	return result.AsString(), nil
}

// lookUp finds a variable, by the names that it has.
func (i *interpolation) lookUp(path []string) (string, bool) {
	if len(path) == 2 && path[0] == "env" || len(path) > 2 && path[0] == "node" && path[1] == "attr" {
		path = path[1:]
	}
	value, known := i.values[strings.Join(path, ".")]
	return value, known
}

// written is a variable as a job writes it, and the names in it.
func written(variable hcl.Traversal) (text string, path []string) {
	for _, step := range variable {
		switch step := step.(type) {
		case hcl.TraverseRoot:
			text, path = step.Name, []string{step.Name}
		case hcl.TraverseAttr:
			text, path = text+"."+step.Name, append(path, step.Name)
		case hcl.TraverseIndex:
			key, err := convert.Convert(step.Key, cty.String)
			if err != nil || key.IsNull() {
				continue
			}
			text, path = fmt.Sprintf("%s[%q]", text, key.AsString()), append(path, key.AsString())
		}
	}
	return text, path
}

// branch are variables by their names: each is a text or another branch.
type branch map[string]any

// put adds a variable, unless it is both.
func (b branch) put(path []string, value string) bool {
	for _, name := range path[:len(path)-1] {
		next, ok := b[name].(branch)
		if !ok {
			if b[name] != nil {
				return false
			}
			next = branch{}
			b[name] = next
		}
		b = next
	}
	last := path[len(path)-1]
	if _, is := b[last].(branch); is {
		return false
	}
	b[last] = value
	return true
}

func (b branch) values() map[string]cty.Value {
	out := map[string]cty.Value{}
	for name, value := range b {
		switch value := value.(type) {
		case string:
			out[name] = cty.StringVal(value)
		case branch:
			out[name] = cty.ObjectVal(value.values())
		}
	}
	return out
}

// inOneLine are all the messages of a parser, without its places in a text of one line.
func inOneLine(diags hcl.Diagnostics) error {
	var messages []string
	for _, d := range diags {
		messages = append(messages, strings.TrimSuffix(d.Summary, ".")+": "+d.Detail)
	}
	return errors.New(strings.Join(messages, "; "))
}
