// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// finder finds a task's program.
type finder struct {
	*view
	taskDir  string
	path     string   // the task's PATH
	readOnly []string // read_only_roots of the policy, for advice
}

// find returns the absolute path of a task's program.
//
// A path is taken as it is, relative to the task directory; a name is looked
// up in local/, the task directory, and the task's PATH, as Nomad's exec does.
// What the policy does not let the task execute is an error here, with the
// roots that would be needed: from the kernel it would be just EACCES.
func (f *finder) find(command string) (string, error) {
	if command == "" {
		return "", errors.New("command: it is empty, expected a program")
	}
	var candidates []string
	switch {
	case filepath.IsAbs(command):
		candidates = []string{command}
	case strings.Contains(command, "/"):
		if !filepath.IsLocal(command) {
			return "", fmt.Errorf("command: %s leaves the task directory: write other places as absolute paths", plain.Quote(command))
		}
		candidates = []string{filepath.Join(f.taskDir, command)}
	default:
		candidates = []string{filepath.Join(f.taskDir, "local", command), filepath.Join(f.taskDir, command)}
		candidates = append(candidates, inPath(command, f.path)...)
	}
	var problem error
	closed := "" // what the first candidate says that nothing may be said of
	for _, candidate := range candidates {
		err := f.check(candidate)
		if err == nil {
			return candidate, nil
		}
		if concealed := (concealedError{}); closed == "" && errors.As(err, &concealed) {
			closed = "; if it is there, " + err.Error()
		}
		if problem == nil || errors.Is(problem, fs.ErrNotExist) {
			problem = err
		}
	}
	if hint := policy.Hint(command); hint != "" && errors.Is(problem, fs.ErrNotExist) {
		return "", noCommand(fmt.Sprintf("command: %s was not found: %s", plain.Quote(command), hint))
	}
	if errors.Is(problem, fs.ErrNotExist) && len(candidates) > 1 {
		return "", noCommand(fmt.Sprintf("command: %s was not found in local/, the task directory or PATH (%s)%s", plain.Quote(command), plain.Name(f.path), cmp.Or(f.elsewhere(command), closed)))
	}
	return "", fmt.Errorf("command: %s: %w", plain.Quote(command), problem)
}

// inPath lists where a name may be by a PATH.
func inPath(name, path string) []string {
	var files []string
	for _, dir := range filepath.SplitList(path) {
		if filepath.IsAbs(dir) {
			files = append(files, filepath.Join(dir, name))
		}
	}
	return files
}

// noCommand says that there is no such program.
type noCommand string

func (e noCommand) Error() string { return string(e) }

// Is makes it one of [fs.ErrNotExist].
func (noCommand) Is(target error) bool { return target == fs.ErrNotExist }

func (f *finder) check(path string) error {
	if f.conceals(path) {
		return f.concealed(path)
	}
	file, err := f.resolve(path)
	if err != nil {
		return err
	}
	if f.conceals(file) {
		return f.concealed(path)
	}
	host, visible := f.hostPath(file)
	if !visible || f.lacks(file) {
		host = file
	}
	info, err := os.Stat(host)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file", plain.Name(file))
	}
	if info.Mode().Perm()&0o111 == 0 {
		return fmt.Errorf("%s is not executable: a template takes perms = \"755\", other files chmod +x", plain.Name(file))
	}
	return f.checkProgram(path, file)
}

// resolve returns the real path, in the view, of a path of the view.
func (v *view) resolve(path string) (string, error) {
	if m := v.nearest(path); m != nil && m.Type == executor.Bind && !isShown(m) {
		// Another place of the host: links in there cannot be followed from here.
		host, _ := v.hostPath(path)
		if v.lacks(path) {
			return filepath.EvalSymlinks(path) // of the host, for the error to name it
		}
		if !exists(host) {
			return "", fmt.Errorf("%s was not found: %w", plain.Name(path), fs.ErrNotExist)
		}
		return path, nil
	}
	file, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s was not found: %w", plain.Name(path), fs.ErrNotExist)
	}
	return file, err
}
