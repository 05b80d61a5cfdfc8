// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/agext/levenshtein"
)

// Profile says how strict the confinement is. The order is that of strictness.
type Profile int

// The profiles.
const (
	// Unrestricted has no Landlock and no seccomp. Only an operator's ceiling
	// makes it available.
	Unrestricted Profile = iota
	// Worktree has all that the kernel offers; the operator's [Fallback] says
	// what happens without Landlock.
	Worktree
	// OSHardened is refused without Landlock.
	OSHardened
)

var profileNames = []string{"unrestricted", "worktree", "os_hardened"}

func (p Profile) String() string { return profileNames[p] }

// ParseProfile returns the profile of that name. Two of Harn's are an error: a host
// process cannot run under wasi, and workspace_paths confines none.
func ParseProfile(name string) (Profile, error) {
	switch name {
	case "wasi":
		return 0, errors.New(`"wasi" is for WebAssembly modules inside Harn, a task is a process of the host: use "worktree" or "os_hardened"`)
	case "workspace_paths":
		return 0, errors.New(`"workspace_paths" has Harn check paths by itself and leaves processes unconfined, and a task is a process: use "worktree", or "unrestricted" where the operator allows it`)
	}
	i, err := parseName("profile", name, profileNames)
	return Profile(i), err
}

// Level is a ceiling of side effects. The order is that of Harn: each level
// includes those below.
type Level int

// The levels.
const (
	LevelNone Level = iota
	LevelReadOnly
	LevelWorkspaceWrite
	LevelProcessExec
	LevelNetwork
	// LevelDesktopControl is Harn's for its own tools. To a process it is LevelNetwork.
	LevelDesktopControl
)

var levelNames = []string{"none", "read_only", "workspace_write", "process_exec", "network", "desktop_control"}

func (l Level) String() string { return levelNames[l] }

// ParseLevel returns the level of that name.
func ParseLevel(name string) (Level, error) {
	i, err := parseName("level", name, levelNames)
	return Level(i), err
}

// Fallback says what becomes of a task of the profile worktree on a node
// without Landlock.
type Fallback int

// The fallbacks.
const (
	// Enforce refuses the task.
	Enforce Fallback = iota
	// Warn runs it under seccomp alone, and says so in a task event.
	Warn
	// Off runs it without confinement by the kernel.
	Off
)

var fallbackNames = []string{"enforce", "warn", "off"}

func (f Fallback) String() string { return fallbackNames[f] }

// ParseFallback returns the fallback of that name, also by the other names
// that Harn's HARN_HANDLER_SANDBOX takes. Harn takes a misspelled name for warn;
// here it is an error.
func ParseFallback(name string) (Fallback, error) {
	name = strings.ToLower(strings.TrimSpace(name))
	switch name {
	case "1", "true", "required":
		return Enforce, nil
	case "0", "false", "none":
		return Off, nil
	}
	i, err := parseName("fallback", name, fallbackNames)
	return Fallback(i), err
}

func parseName(kind, name string, names []string) (int, error) {
	for i, n := range names {
		if n == name {
			return i, nil
		}
	}
	return 0, fmt.Errorf("unknown %s %q%s", kind, name, Expected(name, names))
}

// Expected says, behind a name that is not known, what would have been right: the nearest
// name if one is near, and all of them.
func Expected(name string, names []string) string {
	const listed = 12 // beside a near one
	list := "expected one of " + strings.Join(names, ", ")
	switch near := nearest(name, names); {
	case near == "":
		return ", " + list
	case len(names) > listed:
		return fmt.Sprintf(", did you mean %q?", near)
	default:
		return fmt.Sprintf(", did you mean %q? (%s)", near, list)
	}
}

func nearest(name string, names []string) string {
	best, distance := "", max(2, len(name)/3)
	for _, n := range names {
		if d := levenshtein.Distance(strings.ToLower(name), n, nil); d <= distance {
			best, distance = n, d-1
		}
	}
	return best
}
