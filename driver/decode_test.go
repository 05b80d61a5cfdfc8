// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/nomad/plugins/shared/hclspec"

	"github.com/burin-labs/nomad-driver-harn/policy"
	"github.com/burin-labs/nomad-driver-harn/sandbox"
)

// wrongValues are values, and the types of the schemas that they are right for.
var wrongValues = []struct {
	hcl, found string
	rightFor   []string
}{
	{`"x"`, "string", []string{"string"}},
	{`443.5`, "number", nil},
	{`1e30`, "", []string{"string"}}, // Nomad sends it as text
	{`7`, "number", []string{"number"}},
	{`true`, "", []string{"bool"}},
	{`["x"]`, "", []string{"list(string)"}},
	{`[443.5]`, "", nil},
	{`[1e30]`, "", []string{"list(string)"}},
	{`[7]`, "", []string{"list(number)"}},
	{`[true]`, "", nil},
	{`[["x"]]`, "", nil},
	{`[{ x = "y" }]`, "", nil},
	{`{ x = 1.5 }`, "", nil},
	{`[]`, "", []string{"list(string)", "list(number)"}},
}

// A value of a wrong type is refused by the name of its field, with what was found and what
// was expected, in the words of HCL: in each field of a policy, in a job, in the ceiling and in
// the default policy.
func TestWrongTypesNameTheField(t *testing.T) {
	t.Setenv(sandbox.FallbackVariable, "")
	expected := map[string]string{
		"string": "expected a string", "number": "expected a whole number", "bool": "expected true or false",
		"list(string)": "expected a", "list(number)": "expected a", "block": "expected a block",
	}
	count := 0
	var try func(option string, parse func(body string) error, fields []policy.Field, open, end string)
	try = func(option string, parse func(body string) error, fields []policy.Field, open, end string) {
		for i := range fields {
			f := &fields[i]
			kind := f.Kind.Type()
			if f.Kind == policy.Block || f.Kind == policy.Operations {
				kind = "block"
			}
			if f.Kind == policy.Block {
				try(option, parse, f.Members, open+f.Key()+" {\n", "}\n"+end)
			}
			for _, v := range wrongValues {
				if slices.Contains(v.rightFor, kind) || kind == "block" && strings.Contains(v.hcl, "{") {
					continue
				}
				count++
				err := parse(option + " {\n" + open + f.Key() + " = " + v.hcl + "\n" + end + "}\n")
				if err == nil {
					t.Errorf("%s: %s = %s is taken", option, f.Name, v.hcl)
					continue
				}
				for _, want := range []string{option + ": " + f.Name, ": it is ", v.found, expected[kind]} {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%s: %s = %s: %v, want %q", option, f.Name, v.hcl, err, want)
					}
				}
				if strings.Contains(err.Error(), "msgpack") || strings.Contains(err.Error(), "JSON") || strings.Contains(err.Error(), "tuple") {
					t.Errorf("%s: %s = %s: not in the words of HCL: %v", option, f.Name, v.hcl, err)
				}
			}
			if kind == "block" {
				continue
			}
			err := parse(option + " {\n" + open + f.Key() + " {\nx = \"y\"\n}\n" + end + "}\n")
			if err == nil || !strings.Contains(err.Error(), option+": "+f.Name+": it is a block, "+expected[kind]) {
				t.Errorf("%s: %s as a block: %v", option, f.Name, err)
			}
		}
	}
	try("capability_policy", func(body string) error {
		_, err := parseTask(t, "command = \"x\"\n"+body)
		return err
	}, policy.Fields(), "", "")
	for _, option := range []string{"ceiling", "default_policy"} {
		try(option, func(body string) error {
			_, err := parseConfig(t, body)
			return err
		}, policy.Fields(), "", "")
	}
	if count < 900 {
		t.Errorf("%d values were tried: are these all?", count)
	}
}

// So it is for the options beside a policy, of tasks and of the plugin. Of those outside of
// blocks it is Nomad that says what it expects.
func TestWrongTypesNameTheOption(t *testing.T) {
	t.Setenv(sandbox.FallbackVariable, "")
	try := func(spec *hclspec.Spec, parse func(body string) error) {
		for name, member := range spec.GetObject().GetAttributes() {
			if primary := member.GetDefault().GetPrimary(); primary != nil {
				member = primary
			}
			for _, v := range wrongValues {
				kind, isBlock := member.GetAttr().GetType(), member.GetAttr() == nil
				switch {
				case slices.Contains(v.rightFor, kind), isBlock && strings.Contains(v.hcl, "{"):
					continue
				// Nomad makes text of numbers, as other drivers have it.
				case kind == "string" && !strings.ContainsAny(v.hcl, "[{"), kind == "list(string)" && strings.HasPrefix(v.hcl, "[") && !strings.ContainsAny(v.hcl[1:], "[{"):
					continue
				}
				err := parse(name + " = " + v.hcl + "\n")
				if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "expected") && !strings.Contains(err.Error(), "required") {
					t.Errorf("%s = %s: %v", name, v.hcl, err)
				} else if strings.Contains(err.Error(), "msgpack") || isBlock && !strings.Contains(err.Error(), "expected a block") {
					t.Errorf("%s = %s: %v", name, v.hcl, err)
				}
			}
		}
	}
	try(taskConfigSpec, func(body string) error {
		if !strings.HasPrefix(body, "command") {
			body += "command = \"x\"\n"
		}
		_, err := parseTask(t, body)
		return err
	})
	try(configSpec, func(body string) error {
		_, err := parseConfig(t, body)
		return err
	})
}

// What stands in the place of a variable is text, and what other drivers take is taken.
func TestTextThatIsANumber(t *testing.T) {
	task, err := parseTask(t, `command = "x"
		ulimit { nofile = 1024 }
		capability_policy {
			tcp_connect      = ["443"]
			min_landlock_abi = "3"
			local_ipc        = "false"
		}`)
	if err != nil {
		t.Fatal(err)
	}
	p := task.Policy
	if task.Ulimit["nofile"] != "1024" || !slices.Equal(p.TCPConnect, []int{443}) || p.MinLandlockABI != 3 || p.LocalIPC == nil || *p.LocalIPC {
		t.Errorf("%+v, %+v", task, p)
	}
}

// A preset is a block with a name, and says so of what is none.
func TestPresetsThatAreNone(t *testing.T) {
	t.Setenv(sandbox.FallbackVariable, "")
	for body, want := range map[string]string{
		"preset {\nread_only_roots = [\"/srv\"]\n}": `preset: read_only_roots: it is a list, expected a block with a name: preset "NAME" { ... }`,
		`preset = ["x"]`: `preset: it is a list, expected a block with a name`,
		"preset = {\nx = {\nread_only_roots = \"/srv\"\n}\n}":             `preset: x.read_only_roots: it is the string "/srv", expected a list of strings`,
		"preset = {\nx = {\nread_roots = [\"/srv\"]\n}\n}":                `preset: x: unknown field "read_roots", expected one of env, read_only_roots, workspace_roots`,
		"logs {\nmax_files = 1.5\n}":                                      "logs: max_files: it is the number 1.5, expected a whole number",
		"ceiling {}\nceiling {}":                                          "ceiling: the block is there 2 times, expected once",
		"ceiling {\negress {\nallow = [\"a.example\"]\n}\negress {\n}\n}": "ceiling: egress: the block is there 2 times, expected once",
		"ceiling {\negress = [\"a.example\"]\n}":                          "ceiling: egress: it is a list, expected a block: egress { ... }",
		"ceiling {\nprocess_sandbox {\nread_root = [\"/srv\"]\n}\n}":      `ceiling: process_sandbox: unknown field "read_root", did you mean "read_roots"?`,
	} {
		if _, err := parseConfig(t, body); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
	}
}

// What one preset says is not another one's, in whatever order they are decoded.
func TestPresetsHaveTheirOwnAlone(t *testing.T) {
	for range 50 {
		config, err := parseConfig(t, `
preset "reads" {
  read_only_roots = ["/usr/share"]
}
preset "writes" {
  workspace_roots = ["/srv"]
}
preset "sets" {
  env { TOOL_HOME = "/opt" }
}
preset "empty" {
}`)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{
			"reads": "[/usr/share] [] map[]", "writes": "[] [/srv] map[]", "sets": "[] [] map[TOOL_HOME:/opt]", "empty": "[] [] map[]",
		}
		for name, text := range want {
			preset := config.Presets[name]
			if got := fmt.Sprint(preset.ReadOnlyRoots, preset.WorkspaceRoots, preset.Env); got != text {
				t.Fatalf("%s: %s, want %s", name, got, text)
			}
		}
	}
}
