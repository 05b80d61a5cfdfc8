// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/nomad/plugins/shared/hclspec"

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
}

// configSpec is the schema of the plugin's configuration in the agent's file.
var configSpec = hclspec.NewObject(map[string]*hclspec.Spec{
	"state_dir": hclspec.NewDefault(
		hclspec.NewAttr("state_dir", "string", false),
		hclspec.NewLiteral(`"/var/lib/nomad-driver-harn"`),
	),
	"fallback": hclspec.NewAttr("fallback", "string", false),
	"allow_root": hclspec.NewDefault(
		hclspec.NewAttr("allow_root", "bool", false),
		hclspec.NewLiteral("false"),
	),
	"ceiling": hclspec.NewBlock("ceiling", false, hclspec.NewObject(policySpec)),
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
	// Ceiling limits what jobs may ask for; absent means no limit, but for the
	// profile unrestricted.
	Ceiling *policy.Policy `codec:"ceiling"`

	fallback policy.Fallback
}

// fallbackVariable is Harn's environment variable for the same choice.
const fallbackVariable = "HARN_HANDLER_SANDBOX"

// validate checks the configuration and fills in what was left to defaults. An
// error keeps the agent from starting, so that a mistake in a restriction does
// not go unnoticed.
func (c *Config) validate() error {
	var problems []string
	if !filepath.IsAbs(c.StateDir) {
		problems = append(problems, fmt.Sprintf("state_dir: %q is not an absolute path", c.StateDir))
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
	for _, root := range append(c.Ceiling.WorkspaceRoots, c.Ceiling.ReadOnlyRoots...) {
		if !filepath.IsAbs(root) {
			problems = append(problems, fmt.Sprintf("ceiling: root %q is relative: a task's own directories are always within the ceiling, others need an absolute path", root))
		}
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
	"capability_policy": hclspec.NewBlock("capability_policy", false, hclspec.NewObject(policySpec)),
})

// TaskConfig is the config block of a task.
type TaskConfig struct {
	// Command is a program: an absolute path, a path relative to the task
	// directory, or a name to look up in local/, the task directory and PATH.
	Command string   `codec:"command"`
	Args    []string `codec:"args"`
	// WorkDir is the working directory, absolute or relative to the task
	// directory. Absent means the task directory, or the first workspace root
	// if that is not in the policy.
	WorkDir string `codec:"work_dir"`
	// Policy absent is the same as an empty block.
	Policy *policy.Policy `codec:"capability_policy"`
}

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
