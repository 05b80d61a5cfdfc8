// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/hashicorp/nomad/helper/pluginutils/hclspecutils"
	"github.com/hashicorp/nomad/helper/pluginutils/hclutils"
	"github.com/hashicorp/nomad/jobspec2"
	"github.com/hashicorp/nomad/plugins/base"
	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/hashicorp/nomad/plugins/shared/hclspec"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/msgpack"

	"github.com/burin-labs/nomad-driver-harn/policy"
	"github.com/burin-labs/nomad-driver-harn/sandbox"
)

// parse takes HCL the way that Nomad does: a job file, JSON to the server and
// on to the client, the plugin's schema.
func parse(t *testing.T, spec *hclspec.Spec, body string) (cty.Value, error) {
	t.Helper()
	job, err := jobspec2.ParseWithConfig(&jobspec2.ParseConfig{
		Path:    "test.nomad.hcl",
		AllowFS: true,
		Body:    []byte("job \"j\" {\n group \"g\" {\n task \"t\" {\n driver = \"harn\"\n config {\n" + body + "\n}\n}\n}\n}\n"),
	})
	if err != nil {
		t.Fatalf("%v in\n%s", err, body)
	}
	wire, err := json.Marshal(job.TaskGroups[0].Tasks[0].Config)
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	if err := json.Unmarshal(wire, &config); err != nil {
		t.Fatal(err)
	}
	schema, diag := hclspecutils.Convert(spec)
	if diag.HasErrors() {
		t.Fatal(diag)
	}
	value, _, errs := hclutils.ParseHclInterface(config, schema, nil)
	return value, errors.Join(errs...)
}

func parseTask(t *testing.T, body string) (*TaskConfig, error) {
	t.Helper()
	spec, err := (&Driver{}).TaskConfigSchema()
	if err != nil {
		t.Fatal(err)
	}
	value, err := parse(t, spec, body)
	if err != nil {
		return nil, err
	}
	var cfg drivers.TaskConfig
	if err := cfg.EncodeDriverConfig(value); err != nil {
		t.Fatal(err)
	}
	var task TaskConfig
	return &task, decode(taskConfigSpec, &task, cfg.DecodeDriverConfig)
}

func TestTaskConfigDecodes(t *testing.T) {
	const full = `
		command  = "local/agent.sh"
		args     = ["--once", "x y"]
		work_dir = "local"
		capability_policy {
			sandbox_profile   = "os_hardened"
			side_effect_level = "process_exec"
			workspace_roots   = ["local"]
			read_only_roots   = ["/srv/models"]
			CAPABILITIES
		}`
	want := &TaskConfig{
		Command: "local/agent.sh", Args: []string{"--once", "x y"}, WorkDir: "local",
		Policy: &policy.Policy{
			SandboxProfile: "os_hardened", SideEffectLevel: "process_exec",
			WorkspaceRoots: []string{"local"}, ReadOnlyRoots: []string{"/srv/models"},
			Capabilities: map[string][]string{"workspace": {"read_text", "list"}, "process": {"exec"}},
		},
	}
	for name, capabilities := range map[string]string{
		"block": `capabilities {
			workspace = ["read_text", "list"]
			process   = ["exec"]
		}`,
		"map": `capabilities = { workspace = ["read_text", "list"], process = ["exec"] }`,
	} {
		got, err := parseTask(t, strings.Replace(full, "CAPABILITIES", capabilities, 1))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s syntax: got %+v (policy %+v), %v", name, got, got.Policy, err)
		}
	}
}

func TestAbsentIsNotEmpty(t *testing.T) {
	for body, want := range map[string]*policy.Policy{
		``:                     nil,
		`capability_policy {}`: {},
		"capability_policy {\ncapabilities {}\n}":                       {Capabilities: map[string][]string{}},
		`capability_policy { capabilities = {} }`:                       {Capabilities: map[string][]string{}},
		`capability_policy { capabilities = null }`:                     {},
		"capability_policy {\ncapabilities {\nworkspace = []\n}\n}":     {Capabilities: map[string][]string{"workspace": {}}},
		`capability_policy { workspace_roots = ["a", null] }`:           {WorkspaceRoots: []string{"a", ""}},
		"capability_policy {\ncapabilities {\nworkspace = [null]\n}\n}": {Capabilities: map[string][]string{"workspace": {""}}},
	} {
		got, err := parseTask(t, "command = \"x\"\n"+body)
		if err != nil || !reflect.DeepEqual(got.Policy, want) {
			t.Errorf("%s: got %+v, %v, want %+v", body, got.Policy, err, want)
		}
	}
	// Harn reads no capabilities as "no limit", and an empty list as a limit.
	for body, write := range map[string]bool{``: true, `capability_policy {}`: true, "capability_policy {\ncapabilities {}\n}": false} {
		task, err := parseTask(t, "command = \"x\"\n"+body)
		if err != nil {
			t.Fatal(err)
		}
		if err := task.Validate(); err != nil {
			t.Fatal(err)
		}
		if got := task.Policy.WorkspaceAccess() == policy.FullAccess; got != write {
			t.Errorf("%s: full access %v, want %v", body, got, write)
		}
	}
}

func TestTaskConfigErrors(t *testing.T) {
	for _, tc := range []struct{ name, body, want string }{
		{"no command", `args = ["x"]`, `"command" is required`},
		{"empty command", `command = ""`, "command: it is empty"},
		{"blank command", `command = "  "`, "command: it is empty"},
		{"NUL", `command = "x"` + "\n" + `args = ["a\u0000b"]`, `args[0]: "a\x00b" holds a NUL byte`},
		{"unknown option", `command = "x"` + "\n" + `argz = ["x"]`, `named "argz"`},
		{"unknown field", "command = \"x\"\ncapability_policy {\nsandbox_profil = \"worktree\"\n}", `unknown field "sandbox_profil", did you mean "sandbox_profile"?`},
		{"unknown profile", "command = \"x\"\ncapability_policy {\nsandbox_profile = \"worktre\"\n}", `did you mean "worktree"`},
		{"unknown level", "command = \"x\"\ncapability_policy {\nside_effect_level = \"netwrk\"\n}", `did you mean "network"`},
		{"unknown operation", "command = \"x\"\ncapability_policy {\ncapabilities {\nworkspace = [\"raed_text\"]\n}\n}", `did you mean "read_text"`},
		{"wasi", "command = \"x\"\ncapability_policy {\nsandbox_profile = \"wasi\"\n}", "WebAssembly"},
		{"null root", "command = \"x\"\ncapability_policy {\nworkspace_roots = [null]\n}", "workspace_roots[0]: an empty path"},
		{"root /", "command = \"x\"\ncapability_policy {\nread_only_roots = [\"/\"]\n}", "whole file system"},
		{"root ..", "command = \"x\"\ncapability_policy {\nworkspace_roots = [\"../x\"]\n}", "leaves the task directory"},
		{"work_dir ..", "command = \"x\"\nwork_dir = \"../x\"", "work_dir"},
		{"two policies", "command = \"x\"\ncapability_policy {}\ncapability_policy {}", "capability_policy"},
		{"list expected", "command = \"x\"\ncapability_policy {\nworkspace_roots = \"local\"\n}", `workspace_roots: it is the string "local", expected a list of strings`},
	} {
		task, err := parseTask(t, tc.body)
		if err == nil {
			err = task.Validate()
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want an error with %q", tc.name, err, tc.want)
		}
	}
}

func parseConfig(t *testing.T, body string) (*Config, error) {
	t.Helper()
	spec, err := (&Driver{}).ConfigSchema()
	if err != nil {
		t.Fatal(err)
	}
	value, err := parse(t, spec, body)
	if err != nil {
		return nil, err
	}
	data, err := msgpack.Marshal(value, value.Type())
	if err != nil {
		t.Fatal(err)
	}
	d := New(t.Context(), testLogger(t))
	err = d.SetConfig(&base.Config{PluginConfig: data})
	return d.currentConfig(), err
}

func TestConfig(t *testing.T) {
	t.Setenv(sandbox.FallbackVariable, "")
	config, err := parseConfig(t, "")
	if err != nil {
		t.Fatal(err)
	}
	if config.StateDir != "/var/lib/nomad-driver-harn" || config.ParsedFallback() != policy.Enforce || config.AllowRoot ||
		config.Ceiling.Profile() != policy.Worktree {
		t.Errorf("defaults: %+v", config)
	}
	config, err = parseConfig(t, `
		state_dir  = "/srv/state"
		fallback   = "warn"
		allow_root = true
		ceiling {
			sandbox_profile = "unrestricted"
			workspace_roots = []
			read_only_roots = ["/srv"]
		}`)
	if err != nil {
		t.Fatal(err)
	}
	want := &policy.Policy{SandboxProfile: "unrestricted", WorkspaceRoots: []string{}, ReadOnlyRoots: []string{"/srv"}}
	if config.StateDir != "/srv/state" || config.ParsedFallback() != policy.Warn || !config.AllowRoot || !reflect.DeepEqual(config.Ceiling, want) {
		t.Errorf("got %+v with ceiling %#v", config, config.Ceiling)
	}
}

// A task without a policy gets the operator's, one with any has its own.
func TestDefaultPolicy(t *testing.T) {
	t.Setenv(sandbox.FallbackVariable, "")
	config, err := parseConfig(t, `default_policy { side_effect_level = "none" }`)
	if err != nil {
		t.Fatal(err)
	}
	for body, want := range map[string]string{
		``:                      "none",
		`capability_policy { }`: "",
		"capability_policy {\nside_effect_level = \"read_only\"\n}": "read_only",
	} {
		value, err := parse(t, nomadsTaskSpec, "command = \"/bin/true\"\n"+body)
		if err != nil {
			t.Fatal(err)
		}
		var cfg drivers.TaskConfig
		if err := cfg.EncodeDriverConfig(value); err != nil {
			t.Fatal(err)
		}
		if task, err := decodeTask(&config.Settings, &cfg); err != nil || task.Policy.SideEffectLevel != want {
			t.Errorf("%q: %+v, %v, want the level %q", body, task.Policy, err, want)
		}
	}
}

// The schema has each field of the table, and a policy that a job's block fills in has each value.
func TestSchemaHasEveryField(t *testing.T) {
	block := "command = \"x\"\n" + `capability_policy {
  sandbox_profile = "worktree"
  side_effect_level = "network"
  workspace_roots = ["/a"]
  read_only_roots = ["/b"]
  read_deny_roots = ["/c"]
  protect = ["d"]
  tcp_connect = [1]
  tcp_bind = [2]
  egress {
    allow = ["a.example:443"]
    deny = ["b.example"]
    default = "deny"
    block_private = false
  }
  egress_log = true
  unix_socket_roots = ["/e"]
  local_ipc = true
  devices = ["/dev/null"]
  min_landlock_abi = 1
  capabilities { workspace = ["list"] }
  process_sandbox {
    presets = ["x"]
    read_roots = ["/f"]
    write_roots = ["/g"]
    read_deny_roots = ["/h"]
    allow_tcp_loopback = true
    unix_socket_roots = ["/i"]
    allow_process_self_introspection = true
    allow_child_workspace_write = true
    netns_launcher_path = "/j"
  }
}`
	task, err := parseTask(t, block)
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	task.Policy.Each(func(f *policy.Field) {
		if count++; !f.Present(task.Policy) {
			t.Errorf("%s has not arrived", f.Name)
		}
	})
	if count < 25 {
		t.Errorf("%d fields: are these all?", count)
	}
}

func TestCeilingIsAdvertised(t *testing.T) {
	for _, tc := range []struct {
		config Config
		want   map[string]string
	}{
		{Config{Settings: sandbox.Settings{Ceiling: &policy.Policy{}}}, map[string]string{
			"profile": "worktree", "side_effect_level": noLimit, "workspace_roots": noLimit, "read_only_roots": noLimit, "capabilities": noLimit,
			"unix_socket_roots": noLimit, "tcp_connect": noLimit, "tcp_bind": noLimit, "egress": noLimit, "devices": nothing,
		}},
		{
			Config{Settings: sandbox.Settings{Devices: []string{"/dev/kvm", "/dev/dri/*"}, Ceiling: &policy.Policy{
				SandboxProfile: "os_hardened", SideEffectLevel: "network", WorkspaceRoots: []string{}, ReadOnlyRoots: []string{"/srv/a", "/srv/b"},
				Capabilities: map[string][]string{"workspace": {"list", "read_text"}, "process": {"exec"}},
				Extensions:   policy.Extensions{TCPConnect: []int{53, 443}, TCPBind: []int{}, UnixSocketRoots: []string{"/run/x"}, Egress: &policy.Egress{Allow: []string{"*.example.com:443", "a.org"}}},
			}}},
			map[string]string{
				"profile": "os_hardened", "side_effect_level": "network", "workspace_roots": nothing, "read_only_roots": "/srv/a,/srv/b",
				"capabilities":      "process.exec,workspace.list,workspace.read_text",
				"unix_socket_roots": "/run/x", "tcp_connect": "53,443", "tcp_bind": nothing, "egress": "*.example.com:443,a.org", "devices": "/dev/kvm,/dev/dri/*",
			},
		},
	} {
		if got := describeCeiling(&tc.config); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%+v: got %v, want %v", tc.config.Ceiling, got, tc.want)
		}
	}
}

func TestFallbackFromTheEnvironment(t *testing.T) {
	t.Setenv(sandbox.FallbackVariable, "off")
	for body, want := range map[string]policy.Fallback{"": policy.Off, `fallback = "enforce"`: policy.Enforce} {
		if config, err := parseConfig(t, body); err != nil || config.ParsedFallback() != want {
			t.Errorf("%q: %v, %v, want %v", body, config.ParsedFallback(), err, want)
		}
	}
	t.Setenv(sandbox.FallbackVariable, "wran")
	if _, err := parseConfig(t, ""); err == nil || !strings.Contains(err.Error(), sandbox.FallbackVariable) {
		t.Errorf("%v, want an error that names the variable", err)
	}
}

func TestConfigErrors(t *testing.T) {
	t.Setenv(sandbox.FallbackVariable, "")
	for body, want := range map[string]string{
		`denial_events = "on"`:                                    "denial_events",
		`logs { collector = "syslog" }`:                           `logs: collector: "syslog", expected "nomad"`,
		`logs { max_files = 3 }`:                                  `logs: max_files and max_file_size are for collector = "driver"`,
		"logs {\ncollector = \"driver\"\nmax_files = -1\n}":       "logs: max_files: -1, expected 1 to 1000",
		"logs {\ncollector = \"driver\"\nmax_file_size = 1e6\n}":  "logs: max_file_size: 1000000, expected 1 to 100000 (MiB)",
		`sweep_period = "soon"`:                                   "sweep_period",
		`sweep_period = "1ms"`:                                    "sweep_period",
		`state_dir = "state"`:                                     "state_dir",
		`fallback = "wran"`:                                       `did you mean "warn"`,
		`ceiling { sandbox_profile = "worktre" }`:                 `did you mean "worktree"`,
		`ceiling { workspace_roots = ["local"] }`:                 "absolute path",
		`ceiling { read_only_roots = ["/"] }`:                     "whole file system",
		`ceiling { local_ipc = true }`:                            "local_ipc = true limits nothing",
		"ceiling {\ncapabilities {\nworkspace = [\"raed\"]\n}\n}": "unknown workspace operation",
		`unknown = 1`:                                             `named "unknown"`,
		`system_read_roots = ["usr"]`:                             `system_read_roots[0]: "usr"`,
		`system_read_roots = ["/usr", "/"]`:                       `system_read_roots[1]: "/"`,
		`masked_paths = ["/srv/../etc"]`:                          `masked_paths[0]: "/srv/../etc"`,
		`default_policy { side_effect_level = "networ" }`:         `default_policy: side_effect_level`,
		"ceiling {\nread_only_roots = [\"/srv\"]\n}\ndefault_policy {\nread_only_roots = [\"/opt\"]\n}": "default_policy: read_only_roots: \"/opt\" exceed the operator's ceiling (\"/srv\")",
	} {
		if _, err := parseConfig(t, body); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", body, err, want)
		}
	}
}

// The loader sets the configuration more than once, and without that of an agent.
func TestSetConfigIsRepeatable(t *testing.T) {
	t.Setenv(sandbox.FallbackVariable, "")
	d := New(t.Context(), testLogger(t))
	value, err := parse(t, nomadsSpec, `fallback = "warn"`)
	if err != nil {
		t.Fatal(err)
	}
	data, err := msgpack.Marshal(value, value.Type())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*base.Config{{PluginConfig: data}, {PluginConfig: data, AgentConfig: &base.AgentConfig{}}, {PluginConfig: data}} {
		if err := d.SetConfig(c); err != nil || d.currentConfig().ParsedFallback() != policy.Warn {
			t.Errorf("%v, %+v", err, d.currentConfig())
		}
	}
}
