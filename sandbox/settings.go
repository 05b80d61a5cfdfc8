// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// Settings are an operator's: what holds for all tasks of a node.
type Settings struct {
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
	// SystemReadRoots are what every task may read and execute; absent means the
	// usual places of programs and libraries, and /etc. Those that do not exist
	// are skipped.
	SystemReadRoots []string `codec:"system_read_roots"`
	// Devices are what policies may name as devices: paths, with the wildcards of
	// path.Match. Absent means none.
	Devices []string `codec:"devices"`
	// Ceiling limits what jobs may ask for; absent means no limit, but for the
	// profile unrestricted.
	Ceiling *policy.Policy `codec:"ceiling"`
	// Presets are sets of roots that policies can name, by their names.
	Presets map[string]Preset `codec:"preset"`
	// DefaultPresets are those of tasks whose policy says nothing of presets.
	DefaultPresets []string `codec:"default_presets"`
	// DefaultPolicy is that of tasks whose job brings none; absent means an
	// empty one.
	DefaultPolicy *policy.Policy `codec:"default_policy"`

	// EgressRequired refuses tasks with a network whose policy, by the job or by the ceiling,
	// names no hosts.
	EgressRequired bool `codec:"egress_required"`

	fallback    policy.Fallback
	allowCaps   []int
	deniedUsers deniedUsers
}

// Defaults of an operator's settings.
const (
	DefaultStateDir  = "/var/lib/nomad-driver-harn"
	DefaultPidsLimit = 4096
)

// Defaults are the settings of an operator who sets nothing.
func Defaults() (*Settings, error) {
	s := &Settings{StateDir: DefaultStateDir, PidsLimit: DefaultPidsLimit}
	return s, s.Validate()
}

// orDefault are the settings, for nil the default ones.
func (s *Settings) orDefault() (*Settings, error) {
	if s != nil {
		return s, nil
	}
	return Defaults()
}

// FallbackVariable is Harn's environment variable for the same choice.
const FallbackVariable = "HARN_HANDLER_SANDBOX"

// Validate checks the settings and fills in what was left to defaults. Settings
// count from then on.
func (s *Settings) Validate() error {
	var problems []string
	if !filepath.IsAbs(s.StateDir) || filepath.Clean(s.StateDir) == "/" || strings.ContainsRune(s.StateDir, 0) {
		problems = append(problems, fmt.Sprintf("state_dir: %q is not an absolute path of a directory other than /", s.StateDir))
	}
	field, name := "fallback", s.Fallback
	if name == "" {
		field, name = "environment variable "+FallbackVariable, os.Getenv(FallbackVariable)
	}
	if name != "" {
		var err error
		if s.fallback, err = policy.ParseFallback(name); err != nil {
			problems = append(problems, field+": "+err.Error())
		}
	}
	if s.Ceiling == nil {
		s.Ceiling = &policy.Policy{}
	}
	if err := s.Ceiling.Validate(); err != nil {
		problems = append(problems, "ceiling: "+err.Error())
	}
	var err error
	if s.allowCaps, err = parseCapabilities(s.AllowCaps); err != nil {
		problems = append(problems, "allow_caps: "+err.Error())
	}
	if s.deniedUsers, err = parseDeniedUsers(s.DeniedUsers); err != nil {
		problems = append(problems, "denied_users: "+err.Error())
	}
	if s.PidsLimit < 0 || s.PidsLimit > maxPids {
		problems = append(problems, fmt.Sprintf("pids_limit: %d is out of range, expected 0 (no limit) to %d", s.PidsLimit, maxPids))
	}
	problems = append(problems, wrongPaths("masked_paths", s.MaskedPaths)...)
	problems = append(problems, wrongPaths("system_read_roots", s.SystemReadRoots)...)
	if err := s.validateDefaultPolicy(); err != nil {
		problems = append(problems, "default_policy: "+err.Error())
	}
	for _, pattern := range s.Devices {
		if _, err := filepath.Match(pattern, "/dev/null"); err != nil || !strings.HasPrefix(pattern, "/dev/") {
			problems = append(problems, fmt.Sprintf("devices: %q, expected the path of a device in /dev, or a pattern like /dev/dri/*", pattern))
		}
	}
	if s.Ceiling.Devices != nil {
		problems = append(problems, "ceiling: devices: name what jobs may ask for in the plugin's option devices")
	}
	if s.Ceiling.LocalIPC != nil && *s.Ceiling.LocalIPC {
		problems = append(problems, "ceiling: local_ipc = true limits nothing: leave it out, or set it to false")
	}
	s.Ceiling.Each(func(f *policy.Field) {
		if f.Kind != policy.Paths || f.Role == policy.ProtectRole {
			return
		}
		for _, root := range *f.Value(s.Ceiling).(*[]string) {
			if !filepath.IsAbs(root) {
				problems = append(problems, fmt.Sprintf("ceiling: %s: root %q is relative: a task's own directories are always within the ceiling, others need an absolute path", f.Name, root))
			}
		}
	})
	problems = append(problems, s.wrongPresets()...)
	if len(problems) > 0 {
		return errors.New(strings.Join(problems, "; "))
	}
	return nil
}

// CheckStateDir refuses a state directory in which others than root could forge
// records. It looks anew each time: Validate runs where nothing may be looked at.
func (s *Settings) CheckStateDir() error {
	if err := executor.CheckStateDir(s.StateDir); err != nil {
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
func (s *Settings) validateDefaultPolicy() error {
	if s.DefaultPolicy == nil {
		return nil
	}
	if err := s.DefaultPolicy.Validate(); err != nil {
		return err
	}
	_, err := policy.Intersect(s.Limits(), s.DefaultPolicy, nil)
	return err
}

// Limits is what policies may ask for: the ceiling, with the devices that the
// operator allows elsewhere. The settings must be valid.
func (s *Settings) Limits() *policy.Policy {
	limits := s.Ceiling.Clone()
	limits.Devices = append([]string{}, s.Devices...)
	return limits
}

// ParsedFallback is what becomes of tasks where Landlock is missing. The settings
// must be valid.
func (s *Settings) ParsedFallback() policy.Fallback { return s.fallback }

// systemReadRoots are the operator's, or the default ones.
func (s *Settings) systemReadRoots() []string {
	if s.SystemReadRoots == nil {
		return defaultSystemReadRoots
	}
	return s.SystemReadRoots
}
