// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/nomad/plugins/shared/hclspec"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// policySpec is the schema of a capability policy: a job's capability_policy
// and an operator's ceiling.
//
// capabilities are block attributes: so both the block and the map syntax
// decode, and a policy without them differs from one with none (hclspec's
// attributes of a map type take neither a block nor, from a job file, a map).
var policySpec = map[string]*hclspec.Spec{
	"sandbox_profile":   hclspec.NewAttr("sandbox_profile", "string", false),
	"side_effect_level": hclspec.NewAttr("side_effect_level", "string", false),
	"workspace_roots":   hclspec.NewAttr("workspace_roots", "list(string)", false),
	"read_only_roots":   hclspec.NewAttr("read_only_roots", "list(string)", false),
	"capabilities":      hclspec.NewBlockAttrs("capabilities", "list(string)", false),
	"tcp_connect":       hclspec.NewAttr("tcp_connect", "list(number)", false),
	"tcp_bind":          hclspec.NewAttr("tcp_bind", "list(number)", false),
	"unix_socket_roots": hclspec.NewAttr("unix_socket_roots", "list(string)", false),
	"local_ipc":         hclspec.NewAttr("local_ipc", "bool", false),
	"devices":           hclspec.NewAttr("devices", "list(string)", false),
	"min_landlock_abi":  hclspec.NewAttr("min_landlock_abi", "number", false),
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
		hclspec.NewLiteral(strconv.Quote(defaultStateDir)),
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
		hclspec.NewLiteral("4096"),
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
	"sweep_period": hclspec.NewDefault(
		hclspec.NewAttr("sweep_period", "string", false),
		hclspec.NewLiteral(`"1m"`),
	),
	"ceiling":        hclspec.NewBlock("ceiling", false, hclspec.NewObject(policySpec)),
	"default_policy": hclspec.NewBlock("default_policy", false, hclspec.NewObject(policySpec)),
})

// Config is the plugin's configuration.
type Config struct {
	// StateDir is where the records of running tasks are. It must be on a local
	// file system that survives restarts of the agent.
	StateDir string `codec:"state_dir"`
	// Fallback is the name of a [policy.Fallback]; absent means what the
	// environment variable HARN_HANDLER_SANDBOX says, else enforce.
	Fallback string `codec:"fallback"`
	// AllowRoot admits tasks of user 0.
	AllowRoot bool `codec:"allow_root"`
	// DeniedUsers are users that no task may run as: names, UIDs, and ranges of
	// UIDs like "1-999".
	DeniedUsers []string `codec:"denied_users"`
	// AllowCaps are the capabilities that tasks may add.
	AllowCaps []string `codec:"allow_caps"`
	// AllowHostPID and AllowHostIPC admit pid_mode and ipc_mode "host".
	AllowHostPID bool `codec:"allow_host_pid"`
	AllowHostIPC bool `codec:"allow_host_ipc"`
	// PidsLimit is how many processes and threads a task may have, and the most
	// that a task may ask for; 0 is no limit.
	PidsLimit int64 `codec:"pids_limit"`
	// MaskedPaths are covered in every task's view, beside those that always are.
	MaskedPaths []string `codec:"masked_paths"`
	// SweepPeriod is the time between looks for what is left of tasks that Nomad
	// has forgotten, like "1m".
	SweepPeriod string `codec:"sweep_period"`
	// DenialEvents says whether tasks' users are told what was denied: "auto",
	// which is the default, "off" or "enable".
	DenialEvents string `codec:"denial_events"`
	// SystemReadRoots are what every task may read and execute; absent means the
	// usual places of programs and libraries, and /etc. Those that do not exist
	// are skipped.
	SystemReadRoots []string `codec:"system_read_roots"`
	// Devices are what policies may name as devices: paths, with the wildcards of
	// path.Match. Absent means none.
	Devices []string `codec:"devices"`
	// Logs says who collects the tasks' logs; absent means Nomad.
	Logs *LogsConfig `codec:"logs"`
	// Ceiling limits what jobs may ask for; absent means no limit, but for the
	// profile unrestricted.
	Ceiling *policy.Policy `codec:"ceiling"`
	// DefaultPolicy is that of tasks whose job brings none; absent means an
	// empty one.
	DefaultPolicy *policy.Policy `codec:"default_policy"`

	fallback    policy.Fallback
	allowCaps   []int
	deniedUsers deniedUsers
	// agent is what belongs to the agent that has started this plugin.
	agent       []agentPath
	sweepPeriod time.Duration
	// hostFiles is where the plugin keeps copies of the host's files; "" nowhere.
	hostFiles string
}

// defaultStateDir is the default of state_dir.
const defaultStateDir = "/var/lib/nomad-driver-harn"

// Defaults and bounds of sweep_period.
const (
	defaultSweepPeriod = time.Minute
	leastSweepPeriod   = time.Second
)

// fallbackVariable is Harn's environment variable for the same choice.
const fallbackVariable = "HARN_HANDLER_SANDBOX"

// validate checks the configuration and fills in what was left to defaults. An
// error keeps the agent from starting, so that a mistake in a restriction does
// not go unnoticed.
func (c *Config) validate() error {
	var problems []string
	if !filepath.IsAbs(c.StateDir) || filepath.Clean(c.StateDir) == "/" || strings.ContainsRune(c.StateDir, 0) {
		problems = append(problems, fmt.Sprintf("state_dir: %q is not an absolute path of a directory other than /", c.StateDir))
	}
	field, name := "fallback", c.Fallback
	if name == "" {
		field, name = "environment variable "+fallbackVariable, os.Getenv(fallbackVariable)
	}
	if name != "" {
		var err error
		if c.fallback, err = policy.ParseFallback(name); err != nil {
			problems = append(problems, field+": "+err.Error())
		}
	}
	if c.Ceiling == nil {
		c.Ceiling = &policy.Policy{}
	}
	if err := c.Ceiling.Validate(); err != nil {
		problems = append(problems, "ceiling: "+err.Error())
	}
	var err error
	if c.allowCaps, err = parseCapabilities(c.AllowCaps); err != nil {
		problems = append(problems, "allow_caps: "+err.Error())
	}
	if c.deniedUsers, err = parseDeniedUsers(c.DeniedUsers); err != nil {
		problems = append(problems, "denied_users: "+err.Error())
	}
	if c.PidsLimit < 0 || c.PidsLimit > maxPids {
		problems = append(problems, fmt.Sprintf("pids_limit: %d is out of range, expected 0 (no limit) to %d", c.PidsLimit, maxPids))
	}
	c.sweepPeriod = defaultSweepPeriod
	if c.SweepPeriod != "" {
		if c.sweepPeriod, err = time.ParseDuration(c.SweepPeriod); err != nil || c.sweepPeriod < leastSweepPeriod {
			problems = append(problems, fmt.Sprintf("sweep_period: %q is not a duration of at least %v, expected one like \"1m\"", c.SweepPeriod, leastSweepPeriod))
		}
	}
	switch c.DenialEvents {
	case "":
		c.DenialEvents = denialsAuto
	case denialsAuto, denialsOff, denialsEnable:
	default:
		problems = append(problems, fmt.Sprintf("denial_events: %q, expected %q (where auditing is enabled), %q, or %q (enables auditing on this host)",
			c.DenialEvents, denialsAuto, denialsOff, denialsEnable))
	}
	if err := c.Logs.validate(); err != nil {
		problems = append(problems, "logs: "+err.Error())
	}
	problems = append(problems, wrongPaths("masked_paths", c.MaskedPaths)...)
	problems = append(problems, wrongPaths("system_read_roots", c.SystemReadRoots)...)
	if err := c.validateDefaultPolicy(); err != nil {
		problems = append(problems, "default_policy: "+err.Error())
	}
	for _, pattern := range c.Devices {
		if _, err := filepath.Match(pattern, "/dev/null"); err != nil || !strings.HasPrefix(pattern, "/dev/") {
			problems = append(problems, fmt.Sprintf("devices: %q, expected the path of a device in /dev, or a pattern like /dev/dri/*", pattern))
		}
	}
	if c.Ceiling.Devices != nil {
		problems = append(problems, "ceiling: devices: name what jobs may ask for in the plugin's option devices")
	}
	if c.Ceiling.LocalIPC != nil && *c.Ceiling.LocalIPC {
		problems = append(problems, "ceiling: local_ipc = true limits nothing: leave it out, or set it to false")
	}
	for _, root := range slices.Concat(c.Ceiling.WorkspaceRoots, c.Ceiling.ReadOnlyRoots, c.Ceiling.UnixSocketRoots) {
		if !filepath.IsAbs(root) {
			problems = append(problems, fmt.Sprintf("ceiling: root %q is relative: a task's own directories are always within the ceiling, others need an absolute path", root))
		}
	}
	if len(problems) > 0 {
		return errors.New(strings.Join(problems, "; "))
	}
	return nil
}

// checkStateDir refuses a state directory in which others than root could forge
// records. It looks anew each time: validate runs where nothing may be looked at.
func (c *Config) checkStateDir() error {
	if err := executor.CheckStateDir(c.StateDir); err != nil {
		return fmt.Errorf("plugin option state_dir: %w", err)
	}
	return nil
}

// wrongPaths names what is no path of a file or directory, in its plain form.
func wrongPaths(field string, paths []string) (problems []string) {
	for i, path := range paths {
		if !filepath.IsAbs(path) || filepath.Clean(path) != path || path == "/" {
			problems = append(problems, fmt.Sprintf("%s[%d]: %q, expected an absolute path without \".\" and \"..\", other than /", field, i, path))
		}
	}
	return problems
}

// validateDefaultPolicy checks that the ceiling admits what jobs get that ask
// for nothing: else they would all be refused.
func (c *Config) validateDefaultPolicy() error {
	if c.DefaultPolicy == nil {
		return nil
	}
	if err := c.DefaultPolicy.Validate(); err != nil {
		return err
	}
	_, err := policy.Intersect(c.Limits(), c.DefaultPolicy, nil)
	return err
}

// Limits is what policies may ask for: the ceiling, with the devices that the
// operator allows elsewhere. The configuration must be valid.
func (c *Config) Limits() *policy.Policy {
	limits := c.Ceiling.Clone()
	limits.Devices = append([]string{}, c.Devices...)
	return limits
}

// systemReadRoots are the operator's, or the default ones.
func (c *Config) systemReadRoots() []string {
	if c.SystemReadRoots == nil {
		return defaultSystemReadRoots
	}
	return c.SystemReadRoots
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

// TaskConfig is the config block of a task.
type TaskConfig struct {
	// Command is a program: an absolute path, a path relative to the task
	// directory, or a name to look up in local/, the task directory and PATH.
	Command string   `codec:"command"`
	Args    []string `codec:"args"`
	// WorkDir is the working directory, absolute or relative to the task
	// directory. Absent means the task directory.
	WorkDir string `codec:"work_dir"`
	// PIDMode and IPCMode are "private" or "host".
	PIDMode string `codec:"pid_mode"`
	IPCMode string `codec:"ipc_mode"`
	// CapAdd and CapDrop are names of capabilities.
	CapAdd  []string `codec:"cap_add"`
	CapDrop []string `codec:"cap_drop"`
	// CPUHardLimit makes the cpu of the resources block a limit, not a share.
	CPUHardLimit bool `codec:"cpu_hard_limit"`
	// PidsLimit is how many processes and threads the task may have; 0 means
	// the operator's limit.
	PidsLimit int64 `codec:"pids_limit"`
	// OOMScoreAdj is 0 to 1000: the higher, the sooner the kernel kills the
	// task when the node is out of memory.
	OOMScoreAdj int64 `codec:"oom_score_adj"`
	// Nice is 0 to 19: the higher, the lower the scheduling priority.
	Nice int64 `codec:"nice"`
	// Ulimit are limits of setrlimit(2), "SOFT:HARD" by name.
	Ulimit map[string]string `codec:"ulimit"`
	// Logs limits the log files where the driver collects them.
	Logs *LogFiles `codec:"logs"`
	// Policy absent means the operator's default_policy, or else the same as an
	// empty block.
	Policy *policy.Policy `codec:"capability_policy"`
}

// Modes of namespaces.
const (
	modePrivate = "private"
	modeHost    = "host"
)

// validate checks all that can be known without a file system.
func (c *TaskConfig) validate() error {
	var problems []string
	if strings.TrimSpace(c.Command) == "" {
		problems = append(problems, "command: it is empty, expected a program")
	}
	if strings.ContainsRune(c.Command, 0) {
		problems = append(problems, fmt.Sprintf("command: %q holds a NUL byte", c.Command))
	}
	for i, arg := range c.Args {
		if strings.ContainsRune(arg, 0) {
			problems = append(problems, fmt.Sprintf("args[%d]: %q holds a NUL byte, which no program can receive", i, arg))
		}
	}
	if c.WorkDir != "" && !filepath.IsAbs(c.WorkDir) && !filepath.IsLocal(c.WorkDir) {
		problems = append(problems, fmt.Sprintf("work_dir: %q leaves the task directory", c.WorkDir))
	}
	if strings.ContainsRune(c.WorkDir, 0) {
		problems = append(problems, fmt.Sprintf("work_dir: %q holds a NUL byte", c.WorkDir))
	}
	problems = append(problems, c.validateResources()...)
	for _, mode := range []struct{ field, value string }{{"pid_mode", c.PIDMode}, {"ipc_mode", c.IPCMode}} {
		if mode.value != "" && mode.value != modePrivate && mode.value != modeHost {
			problems = append(problems, fmt.Sprintf("%s: unknown mode %q, expected %q or %q", mode.field, mode.value, modePrivate, modeHost))
		}
	}
	if c.Policy == nil {
		c.Policy = &policy.Policy{}
	}
	if err := c.Policy.Validate(); err != nil {
		problems = append(problems, "capability_policy: "+err.Error())
	}
	if len(problems) > 0 {
		return errors.New(strings.Join(problems, "; "))
	}
	return nil
}
