// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/nomad/helper/pluginutils/hclspecutils"
	"github.com/hashicorp/nomad/helper/pluginutils/hclutils"
	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/hashicorp/nomad/plugins/shared/hclspec"

	"github.com/burin-labs/nomad-driver-harn/denials"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/policy"
	"github.com/burin-labs/nomad-driver-harn/sandbox"
)

// policySpec is the schema of a capability policy: a job's capability_policy
// and an operator's ceiling.
//
// capabilities are block attributes: so both the block and the map syntax
// decode, and a policy without them differs from one with none (hclspec's
// attributes of a map type take neither a block nor, from a job file, a map).
var policySpec = schemaOf(policy.Fields())

func schemaOf(fields []policy.Field) map[string]*hclspec.Spec {
	schema := map[string]*hclspec.Spec{}
	for i := range fields {
		f := &fields[i]
		name := f.Key()
		switch f.Kind {
		case policy.Block:
			schema[name] = hclspec.NewBlock(name, false, hclspec.NewObject(schemaOf(f.Members)))
		case policy.Operations:
			schema[name] = hclspec.NewBlockAttrs(name, "list(string)", false)
		default:
			schema[name] = hclspec.NewAttr(name, f.Kind.Type(), false)
		}
	}
	return schema
}

// logFilesSpec is the schema of [LogFiles].
var logFilesSpec = map[string]*hclspec.Spec{
	"max_files":     hclspec.NewAttr("max_files", "number", false),
	"max_file_size": hclspec.NewAttr("max_file_size", "number", false),
}

// configSpec is the schema of the plugin's configuration in the agent's file.
var configSpec = hclspec.NewObject(map[string]*hclspec.Spec{
	"state_dir": hclspec.NewDefault(
		hclspec.NewAttr("state_dir", "string", false),
		hclspec.NewLiteral(strconv.Quote(sandbox.DefaultStateDir)),
	),
	"fallback": hclspec.NewAttr("fallback", "string", false),
	"allow_root": hclspec.NewDefault(
		hclspec.NewAttr("allow_root", "bool", false),
		hclspec.NewLiteral("false"),
	),
	"denied_users": hclspec.NewAttr("denied_users", "list(string)", false),
	"allow_caps":   hclspec.NewAttr("allow_caps", "list(string)", false),
	"allow_host_pid": hclspec.NewDefault(
		hclspec.NewAttr("allow_host_pid", "bool", false),
		hclspec.NewLiteral("false"),
	),
	"allow_host_ipc": hclspec.NewDefault(
		hclspec.NewAttr("allow_host_ipc", "bool", false),
		hclspec.NewLiteral("false"),
	),
	"pids_limit": hclspec.NewDefault(
		hclspec.NewAttr("pids_limit", "number", false),
		hclspec.NewLiteral(strconv.Itoa(sandbox.DefaultPidsLimit)),
	),
	"egress_required": hclspec.NewDefault(
		hclspec.NewAttr("egress_required", "bool", false),
		hclspec.NewLiteral("false"),
	),
	"masked_paths":      hclspec.NewAttr("masked_paths", "list(string)", false),
	"system_read_roots": hclspec.NewAttr("system_read_roots", "list(string)", false),
	"devices":           hclspec.NewAttr("devices", "list(string)", false),
	"denial_events": hclspec.NewDefault(
		hclspec.NewAttr("denial_events", "string", false),
		hclspec.NewLiteral(`"auto"`),
	),
	"logs": hclspec.NewBlock("logs", false, hclspec.NewObject(map[string]*hclspec.Spec{
		"collector":     hclspec.NewAttr("collector", "string", false),
		"max_files":     logFilesSpec["max_files"],
		"max_file_size": logFilesSpec["max_file_size"],
	})),
	"metrics": hclspec.NewBlock("metrics", false, hclspec.NewObject(map[string]*hclspec.Spec{
		"address": hclspec.NewAttr("address", "string", true),
	})),
	"sweep_period": hclspec.NewDefault(
		hclspec.NewAttr("sweep_period", "string", false),
		hclspec.NewLiteral(`"1m"`),
	),
	"preset": hclspec.NewBlockMap("preset", []string{"name"}, hclspec.NewObject(map[string]*hclspec.Spec{
		"read_only_roots": hclspec.NewAttr("read_only_roots", "list(string)", false),
		"workspace_roots": hclspec.NewAttr("workspace_roots", "list(string)", false),
		"env":             hclspec.NewBlockAttrs("env", "string", false),
	})),
	"default_presets": hclspec.NewAttr("default_presets", "list(string)", false),

	"ceiling":        hclspec.NewBlock("ceiling", false, hclspec.NewObject(policySpec)),
	"default_policy": hclspec.NewBlock("default_policy", false, hclspec.NewObject(policySpec)),
})

// Config is the plugin's configuration.
type Config struct {
	// Settings are those that decide what tasks may do.
	sandbox.Settings
	// SweepPeriod is the time between looks for what is left of tasks that Nomad
	// has forgotten, like "1m".
	SweepPeriod string `codec:"sweep_period"`
	// DenialEvents says whether tasks' users are told what was denied: "auto",
	// which is the default, "off" or "enable".
	DenialEvents string `codec:"denial_events"`
	// Logs says who collects the tasks' logs; absent means Nomad.
	Logs *LogsConfig `codec:"logs"`
	// Metrics says where metrics are served; absent means nowhere.
	Metrics *MetricsConfig `codec:"metrics"`

	sweepPeriod time.Duration
}

// Defaults and bounds of sweep_period.
const (
	defaultSweepPeriod = time.Minute
	leastSweepPeriod   = time.Second
)

// validate checks the configuration and fills in what was left to defaults. An
// error keeps the agent from starting, so that a mistake in a restriction does
// not go unnoticed.
func (c *Config) validate() error {
	var problems []string
	if err := c.Validate(); err != nil {
		problems = append(problems, err.Error())
	}
	c.sweepPeriod = defaultSweepPeriod
	if c.SweepPeriod != "" {
		var err error
		if c.sweepPeriod, err = time.ParseDuration(c.SweepPeriod); err != nil || c.sweepPeriod < leastSweepPeriod {
			problems = append(problems, fmt.Sprintf("sweep_period: %q is not a duration of at least %v, expected one like \"1m\"", c.SweepPeriod, leastSweepPeriod))
		}
	}
	switch c.DenialEvents {
	case "":
		c.DenialEvents = denials.Auto
	case denials.Auto, denials.Off, denials.Enable:
	default:
		problems = append(problems, fmt.Sprintf("denial_events: %q, expected %q (where auditing is enabled), %q, or %q (enables auditing on this host)",
			c.DenialEvents, denials.Auto, denials.Off, denials.Enable))
	}
	if err := c.Logs.validate(); err != nil {
		problems = append(problems, "logs: "+err.Error())
	}
	if err := c.validateMetrics(); err != nil {
		problems = append(problems, "metrics: address: "+err.Error())
	}
	if len(problems) > 0 {
		return errors.New(strings.Join(problems, "; "))
	}
	return nil
}

// taskConfigSpec is the schema of a task's config block in a job.
var taskConfigSpec = hclspec.NewObject(map[string]*hclspec.Spec{
	"command":           hclspec.NewAttr("command", "string", true),
	"args":              hclspec.NewAttr("args", "list(string)", false),
	"work_dir":          hclspec.NewAttr("work_dir", "string", false),
	"pid_mode":          hclspec.NewAttr("pid_mode", "string", false),
	"ipc_mode":          hclspec.NewAttr("ipc_mode", "string", false),
	"cap_add":           hclspec.NewAttr("cap_add", "list(string)", false),
	"cap_drop":          hclspec.NewAttr("cap_drop", "list(string)", false),
	"cpu_hard_limit":    hclspec.NewAttr("cpu_hard_limit", "bool", false),
	"pids_limit":        hclspec.NewAttr("pids_limit", "number", false),
	"oom_score_adj":     hclspec.NewAttr("oom_score_adj", "number", false),
	"nice":              hclspec.NewAttr("nice", "number", false),
	"ulimit":            hclspec.NewBlockAttrs("ulimit", "string", false),
	"logs":              hclspec.NewBlock("logs", false, hclspec.NewObject(logFilesSpec)),
	"capability_policy": hclspec.NewBlock("capability_policy", false, hclspec.NewObject(policySpec)),
})

// What Nomad gets of the schemas.
var nomadsSpec, nomadsTaskSpec = loosened(configSpec), loosened(taskConfigSpec)

// TaskConfig is the config block of a task.
type TaskConfig = sandbox.Request

// decodeTask decodes the config block of a task, and checks it.
func decodeTask(settings *sandbox.Settings, cfg *drivers.TaskConfig) (*TaskConfig, error) {
	var task TaskConfig
	if err := decode(taskConfigSpec, &task, cfg.DecodeDriverConfig); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	return &task, task.Complete(settings)
}

// DecodeTask decodes the config block of a job's task, as Nomad has parsed it,
// the way that it reaches the driver: by the schema and over the wire.
// settings are the operator's, nil for the defaults.
func DecodeTask(settings *sandbox.Settings, block map[string]any) (*TaskConfig, error) {
	cfg, err := encode(nomadsTaskSpec, block)
	if err != nil {
		return nil, err
	}
	if settings == nil {
		settings = &sandbox.Settings{}
	}
	return decodeTask(settings, cfg)
}

// DecodeConfig decodes the config block of the plugin, as an agent does.
func DecodeConfig(block map[string]any) (*Config, error) {
	cfg, err := encode(nomadsSpec, block)
	if err != nil {
		return nil, err
	}
	var config Config
	if err := decode(configSpec, &config, cfg.DecodeDriverConfig); err != nil {
		return nil, err
	}
	return &config, config.validate()
}

// encode puts a block into the form in which Nomad sends it.
func encode(spec *hclspec.Spec, block map[string]any) (*drivers.TaskConfig, error) {
	schema, diagnostics := hclspecutils.Convert(spec)
	if diagnostics.HasErrors() {
		return nil, diagnostics
	}
	value, _, errs := hclutils.ParseHclInterface(block, schema, nil)
	if err := plain.Join(errs...); err != nil {
		return nil, err
	}
	var cfg drivers.TaskConfig
	return &cfg, cfg.EncodeDriverConfig(value)
}
