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
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// finder finds a task's program.
type finder struct {
	*view
	taskDir  string
	path     string   // the task's PATH
	readOnly []string // read_only_roots of the policy, for advice
	// own is the task directory if a file there that is not executable is to be made so;
	// "" otherwise.
	own string
	// unset is set by find: the program's real path if it is such a file.
	unset string
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
	link := ""           // what is said of the first link that leads where nothing may be said of
	var denied []Marked  // places of the policy's in which a directory of PATH lies
	var unknown []string // directories of which nothing may be said
	guess := ""          // what is to be written if the program is in the last of these
	for _, candidate := range candidates {
		err := f.check(candidate)
		if err == nil {
			return candidate, nil
		}
		if concealed := (concealedError{}); errors.As(err, &concealed) {
			if m := f.closedBy(candidate); m != nil {
				denied = append(denied, *m)
			} else if errors.As(concealed.error, new(*outsideError)) {
				unknown, guess = append(unknown, filepath.Dir(candidate)), err.Error()
			} else if link == "" {
				link = "; " + err.Error()
			}
		}
		if problem == nil || errors.Is(problem, fs.ErrNotExist) {
			problem = err
		}
	}
	var mode *modeError
	if errors.As(problem, &mode) && f.mayBeSet(mode.file) {
		if problem = f.checkProgram(mode.path, mode.file); problem == nil {
			f.unset = mode.file
			return mode.path, nil
		}
	}
	if hint := cmp.Or(policy.Hint(command), f.shellHint(command)); hint != "" && errors.Is(problem, fs.ErrNotExist) {
		return "", noCommand(fmt.Sprintf("command: %s was not found: %s", plain.Quote(command), hint))
	}
	if errors.Is(problem, fs.ErrNotExist) && len(candidates) > 1 {
		return "", noCommand(fmt.Sprintf("command: %s was not found in local/, the task directory or PATH (%s)%s", plain.Quote(command), plain.Name(f.path), cmp.Or(f.elsewhere(command), link, notLookedIn(denied, unknown, guess))))
	}
	return "", fmt.Errorf("command: %s: %w", plain.Quote(command), problem)
}

// notLookedIn says of which directories nothing is said, "" for none. Of one that is alone
// a root is proposed, whether or not the program is there.
func notLookedIn(denied []Marked, dirs []string, guess string) string {
	switch {
	case len(denied) > 0:
		return fmt.Sprintf("; of that, %s is %s", plain.Name(denied[0].Path), denied[0].Why)
	case len(dirs) == 0:
		return ""
	case len(dirs) == 1:
		return fmt.Sprintf("; nothing is said of what is in %s, where only some users of this host may look: if it is there, %s", plain.Names(dirs), guess)
	}
	return fmt.Sprintf("; nothing is said of what is in %s, where only some users of this host may look: name the command by its path there, and the error says which root that takes", plain.Names(dirs))
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
	file, err := f.resolve(path, f.conceals)
	if errors.Is(err, errConcealed) {
		return concealedError{fmt.Errorf("%s leads by a symbolic link %s", plain.Name(path), beyondRoots)}
	}
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
	if forbidsExecution(host) {
		return fmt.Errorf("%s lies where nothing can be executed, in a file system mounted noexec, as Nomad mounts secrets: put the program in local, or have an interpreter read it, as command = \"/bin/sh\" and args = [%s]", plain.Name(file), hclString(path))
	}
	if info.Mode().Perm()&0o111 == 0 {
		return &modeError{path, file}
	}
	return f.checkProgram(path, file)
}

// forbidsExecution reports whether a file of the host is on a mount that lets nothing be
// executed: access(2) and the mode do not say so.
func forbidsExecution(path string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(path, &fs) == nil && fs.Flags&unix.ST_NOEXEC != 0
}

// modeError is about a program without the permission to execute it.
type modeError struct{ path, file string }

func (e *modeError) Error() string {
	return fmt.Sprintf("%s is not executable: a template takes perms = \"755\", other files chmod +x", plain.Name(e.file))
}

// mayBeSet reports whether a file is the task's alone: not what tasks share, nor where
// nothing can be executed.
func (f *finder) mayBeSet(file string) bool {
	in := func(dir string) bool { return landlock.Beneath(filepath.Join(f.own, dir), file) }
	return f.own != "" && in("") && !in("alloc") && !in("secrets") && !in("private")
}

// MakeExecutable makes a task's command executable for whoever may read it, as Nomad's
// own drivers do: what an artifact downloads is not. It is a file of the task's own,
// by no other name: another name could be another file's.
func MakeExecutable(taskDir, file string) error {
	root, err := os.OpenRoot(taskDir)
	if err != nil {
		return err
	}
	defer root.Close()
	name, err := filepath.Rel(taskDir, file)
	if err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("command: making it executable: %w", err)
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return fmt.Errorf("command: fstat of %s: %w", plain.Name(file), err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink != 1 {
		return fmt.Errorf("command: %s is not executable, and the driver makes no file executable that has other names: chmod +x", plain.Name(file))
	}
	mode := os.FileMode(st.Mode & 0o777)
	if err := f.Chmod(mode | mode&0o444>>2); err != nil {
		return fmt.Errorf("command: making it executable: %w", err)
	}
	return nil
}

// ofShells are commands that are no programs, but a shell's own.
var ofShells = []string{".", "alias", "cd", "eval", "exec", "export", "set", "source", "trap", "ulimit", "umask", "unset", "wait"}

// shellHint says what to write for a command that was meant for a shell, "" if it was
// not.
func (f *finder) shellHint(command string) string {
	words := strings.Fields(command)
	switch {
	case len(words) == 0:
		return "it is white space, expected a program"
	case strings.ContainsAny(command, "|&;<>`*'\"") || slices.Contains(ofShells, words[0]):
		return fmt.Sprintf("no shell reads a command: write command = \"/bin/sh\" and args = [\"-c\", %s]", hclString(strings.TrimSpace(command)))
	case strings.HasPrefix(command, "$"):
		return "no shell expands a command, and Nomad expands ${NAME} alone: write the program's path"
	case len(words) == 1 && words[0] != command:
		return "it begins or ends with white space: leave that out"
	case len(words) == 1:
		return ""
	}
	if _, err := f.find(words[0]); err != nil {
		return ""
	}
	f.unset = ""
	args := make([]string, len(words)-1)
	for i, word := range words[1:] {
		args[i] = hclString(word)
	}
	return fmt.Sprintf("a command is a program alone: write command = %s and args = [%s]", hclString(words[0]), strings.Join(args, ", "))
}

// resolve returns the real path, in the view, of a path of the view: links are followed
// there, and on the host where the view has nothing, for the error to name what it would
// take. A link can have been made by an earlier start, or an artifact: nothing is looked
// up where conceals says that nothing may be said, and errConcealed is the answer.
func (v *view) resolve(path string, conceals func(path string) bool) (string, error) {
	file, err := policy.Walk(path, func(at string, rest []string) (string, error) {
		if ahead := filepath.Join(at, filepath.Join(rest[:until(rest, "..")]...)); conceals(ahead) {
			return "", errConcealed
		}
		if m := v.nearest(at); m != nil && m.Target == at {
			if m.Type == executor.Symlink {
				return m.Source, nil
			}
			return "", nil // real, as mount points are
		}
		host, visible := v.hostPath(at)
		if !visible || v.lacks(at) {
			if v.leadsToMount(at) {
				return "", nil
			}
			host = at
		}
		info, err := os.Lstat(host)
		switch {
		case err != nil && v.leadsToMount(at):
			return "", nil
		case err != nil:
			return "", err
		case info.Mode().Type() == fs.ModeSymlink:
			return os.Readlink(host)
		case !info.IsDir() && slices.ContainsFunc(rest, func(name string) bool { return name != "" }):
			return "", fmt.Errorf("%s: %w", plain.Name(at), unix.ENOTDIR)
		}
		return "", nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s was not found: %w", plain.Name(path), fs.ErrNotExist)
	}
	return file, err
}

// errConcealed says that a path leads to where nothing may be said of.
var errConcealed = errors.New("it leads to where only some users of this host may look")

// until is how many there are before the first of the names that is the given one.
func until(names []string, name string) int {
	if i := slices.Index(names, name); i >= 0 {
		return i
	}
	return len(names)
}

// leadsToMount reports whether a path is a directory of the view for what is mounted below.
func (v *view) leadsToMount(path string) bool {
	return slices.ContainsFunc(v.mounts, func(m placed) bool { return m.Target != path && landlock.Beneath(path, m.Target) })
}
