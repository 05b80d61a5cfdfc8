// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// A program is more than its file: a link to it, the interpreter of a script,
// the dynamic loader and libraries, and what is installed beside it. What of
// that a policy does not show is found here, so that one error names it all.

// outsideError is about a program that the policy does not show, or not all of
// it.
type outsideError struct {
	file     string
	what     string // "" for the file itself, else what of it is outside
	roots    []string
	readOnly []string // the policy's
	denied   string   // what others than its owner may not use, "" for nothing
}

func (e *outsideError) Error() string {
	subject := e.file
	if e.what != "" {
		subject = e.what + " of " + e.file
	}
	roots := slices.Clone(e.readOnly)
	for _, root := range e.roots {
		if !slices.Contains(roots, root) {
			roots = append(roots, root)
		}
	}
	message := fmt.Sprintf("%s is outside of every root that the task may execute from: add %s", subject, readOnlyRoots(roots))
	if e.denied != "" {
		message += fmt.Sprintf("; besides, others than its owner have no access to %q: chmod -R o+rX, or run the task as its owner (user)", e.denied)
	}
	return message
}

// readOnlyRoots is a line for a job.
func readOnlyRoots(roots []string) string {
	quoted := make([]string, len(roots))
	for i, root := range roots {
		quoted[i] = hclString(root)
	}
	return "read_only_roots = [" + strings.Join(quoted, ", ") + "]"
}

// hclString is a string of HCL: a path may hold what begins an interpolation.
func hclString(s string) string {
	return strings.NewReplacer("${", "$${", "%{", "%%{").Replace(fmt.Sprintf("%q", s))
}

// checkProgram checks that the view has what it takes to start a program. path
// is how the job names it, file is where it really is.
func (f *finder) checkProgram(path, file string) error {
	n := &needs{finder: f, seen: map[string]bool{}}
	what := ""
	switch {
	case !f.has(path, file):
	case f.isSystem(file):
		return nil
	default:
		interpreter := n.interpreter(file)
		if interpreter == "" {
			return nil
		}
		what = fmt.Sprintf("the interpreter %q", interpreter)
		if strings.HasSuffix(interpreter, "\r") {
			return fmt.Errorf("the first line of %s ends in a carriage return, which the kernel takes for a part of the interpreter's name: write its lines with LF alone, as dos2unix does", plain.Name(file))
		}
		if f.conceals(interpreter) { // there or not
			return &outsideError{file: file, what: what, roots: []string{installation(interpreter)}, readOnly: f.readOnly}
		}
		target, err := f.resolve(interpreter, f.conceals)
		switch {
		case errors.Is(err, errConcealed):
			return fmt.Errorf("%s of %s leads by a symbolic link %s", what, plain.Name(file), beyondRoots)
		case errors.Is(err, fs.ErrNotExist) && !f.shows(interpreter):
			return fmt.Errorf("the interpreter of %s, %q, does not exist: correct the first line of the script, or install it", plain.Name(file), interpreter)
		case err != nil || f.has(interpreter, target):
			return nil // if it is nowhere, the kernel says so
		}
	}
	n.add(path, file)
	for _, needed := range append([]string{file}, n.roots...) {
		if m := f.closedBy(needed); m != nil {
			return &deniedError{needed, *m}
		}
	}
	return &outsideError{file: file, what: what, roots: n.roots, readOnly: f.readOnly, denied: n.denied}
}

// deniedError is about what a program takes and the policy denies: no root opens it.
type deniedError struct {
	path string
	by   Marked
}

func (e *deniedError) Error() string {
	return fmt.Sprintf("%s lies in %s, which is %s: no root opens that, take it out of there, or deny narrower places", plain.Name(e.path), plain.Name(e.by.Path), e.by.Why)
}

// closedBy is the place that the policy keeps from the task and in which a path lies, nil
// if there is none. Of links, only those in / are followed, as /bin is one: everybody
// can read them.
func (v *view) closedBy(path string) *Marked {
	if first, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/"); first != "" {
		if target, err := os.Readlink("/" + first); err == nil {
			path = filepath.Join("/", target, rest)
		}
	}
	for i := range v.marked {
		if m := &v.marked[i]; !m.Readable && landlock.Beneath(m.Path, path) {
			return m
		}
	}
	return nil
}

// has reports whether the task can execute a file by the path that is given.
func (v *view) has(path, file string) bool {
	return v.admits(file, landlock.Execute) && !slices.ContainsFunc(v.linksOf(path, file), func(link string) bool { return !v.reaches(link) })
}

// linksOf are a path and the links that it leads over to the file, without the
// file itself.
func (v *view) linksOf(path, file string) []string {
	var links []string
	for path != file && len(links) < policy.MaxLinks {
		links = append(links, path)
		host, visible := v.hostPath(path)
		if !visible {
			host = path
		}
		target, err := os.Readlink(host)
		if err != nil {
			break // links of directories only
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = filepath.Clean(target)
	}
	return links
}

// reaches reports whether there is a path in the view: it may lead there by
// links that are not shown.
func (v *view) reaches(path string) bool {
	m := v.nearest(path)
	if m == nil {
		return !v.private
	}
	return m.Type == executor.Symlink || m.showsHost() && !m.hides(path)
}

// isSystem reports whether a file is one of the distribution's: those are whole.
func (v *view) isSystem(file string) bool {
	return slices.ContainsFunc(defaultSystemReadRoots, func(root string) bool { return landlock.Beneath(root, file) }) &&
		!landlock.Beneath("/usr/local", file)
}

// needs collects the roots that a program takes besides those of the view.
type needs struct {
	*finder
	seen   map[string]bool
	roots  []string
	denied string
}

// mostFiles is how many files of one program are looked at: a program can be
// anything, also something made to be looked at for long.
const mostFiles = 64

// add adds what a program or library takes: path is how it is named.
func (n *needs) add(path, file string) {
	if n.seen[file] || len(n.seen) >= mostFiles {
		return
	}
	n.seen[file] = true
	if !n.has(path, file) {
		n.root(path, file)
	}
	for _, other := range n.others(file) {
		if target, err := n.resolve(other, n.conceals); err == nil {
			n.add(other, target)
		}
	}
}

// root adds the installations that a path, the links on its way and what it
// really is belong to.
func (n *needs) root(path, file string) {
	named := installation(file)
	for _, link := range n.linksOf(path, file) {
		dir := installation(link)
		if same, err := filepath.EvalSymlinks(dir); err == nil && landlock.Beneath(same, file) {
			// The job's own way of writing it is kept where it leads to the same:
			// /opt/java/current goes on to name the current one.
			named = dir
		} else if !n.reaches(link) {
			n.addRoot(dir, link)
		}
	}
	if !n.admits(file, landlock.Execute) {
		n.addRoot(named, file)
	}
	for _, more := range companions(file) {
		if !n.conceals(more) && exists(more) && !n.admits(more, landlock.Execute) {
			n.addRoot(more, more)
		}
	}
}

func (n *needs) addRoot(root, file string) {
	if slices.ContainsFunc(n.roots, func(other string) bool { return landlock.Beneath(other, root) }) {
		return
	}
	n.roots = slices.DeleteFunc(n.roots, func(other string) bool { return landlock.Beneath(root, other) })
	n.roots = append(n.roots, root)
	if n.denied == "" {
		n.denied = deniedToOthers(root, file)
	}
}

// deniedToOthers is what of the way from a root to a file its mode denies to
// others than owner and group, "" for nothing. What lies above the root does
// not matter: the view has directories of its own there.
func deniedToOthers(root, file string) string {
	if dir, err := filepath.EvalSymlinks(root); err == nil && landlock.Beneath(dir, file) {
		root = dir
	}
	for path := file; landlock.Beneath(root, path) && path != "/"; path = filepath.Dir(path) {
		if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o005 != 0o005 {
			return path
		}
	}
	return ""
}

// programPlaces are directories that programs of an installation lie in, and
// libraryPlaces its shared libraries.
var (
	programPlaces = []string{"bin", "sbin", "libexec", "shims"}
	libraryPlaces = []string{"lib", "lib64"}
)

// crowded are directories of many installations, of which none is one: they
// are too much to be shown. So are home directories.
var crowded = []string{"/", "/usr", "/usr/local", "/opt", "/srv", "/var", "/var/lib", "/home", "/root", "/mnt", "/media", "/run", "/tmp", "/etc"}

// installation is the directory that a program was installed in: the one above
// bin. For a file outside of any such place it is the directory that it lies
// in, and where that is one of many installations, the file.
func installation(file string) string {
	dir := filepath.Dir(file)
	if before, _, found := strings.Cut(file, "/node_modules/"); found { // a package takes others
		if filepath.Base(before) == "lib" && !tooMuch(filepath.Dir(before)) {
			return filepath.Dir(before)
		}
		return before + "/node_modules"
	}
	for above := dir; above != "/"; above = filepath.Dir(above) {
		name, library := filepath.Base(above), strings.Contains(filepath.Base(file), ".so")
		if slices.Contains(programPlaces, name) || library && slices.Contains(libraryPlaces, name) {
			if root := filepath.Dir(above); !tooMuch(root) {
				return root
			}
			return above
		}
	}
	if tooMuch(dir) {
		return file
	}
	return dir
}

func tooMuch(dir string) bool {
	return slices.Contains(crowded, dir) || filepath.Dir(dir) == "/home" || filepath.Base(dir) == ".local"
}

// companions are what a program takes that only its own code names: the
// proxies of rustup start programs of ~/.rustup.
func companions(file string) []string {
	if filepath.Base(file) == "rustup" {
		return []string{filepath.Join(filepath.Dir(installation(file)), ".rustup")}
	}
	return nil
}

// others are the files that a program or library names: the interpreter of a
// script, loader and libraries of a binary.
func (n *needs) others(file string) []string {
	var others []string
	if interpreter := n.interpreter(file); interpreter != "" {
		others = append(others, interpreter)
	}
	return append(others, n.libraries(file)...)
}

// open opens a program or library, where the view has it from.
func (n *needs) open(file string) (*os.File, error) {
	host, visible := n.hostPath(file)
	if !visible {
		host = file
	}
	if !n.legible(host) {
		return nil, fs.ErrPermission
	}
	return openFile(host)
}

// maxInterpreter is how much of a script's first line the kernel reads,
// execve(2).
const maxInterpreter = 255

// interpreter is what starts a file: of a script that its first line names,
// and what env(1) finds for it; of a binary the dynamic loader. "" for none.
func (n *needs) interpreter(file string) string {
	f, err := n.open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	head := make([]byte, maxInterpreter)
	size, _ := f.Read(head)
	if line, ok := strings.CutPrefix(string(head[:size]), "#!"); ok {
		line, _, whole := strings.Cut(line, "\n")
		words := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' }) // not a carriage return
		if last := len(words) - 1; whole && last >= 0 && strings.HasSuffix(words[last], "\r") && (last == 0 || filepath.Base(words[0]) == "env") {
			return words[last]
		}
		return n.ofScript(words)
	}
	binary, err := readProgram(f)
	if err != nil {
		return ""
	}
	return absolute(binary.interpreter)
}

func absolute(path string) string {
	if !filepath.IsAbs(path) {
		return ""
	}
	return filepath.Clean(path)
}

func (n *needs) ofScript(words []string) string {
	if len(words) == 0 {
		return ""
	}
	if filepath.Base(words[0]) != "env" {
		return absolute(words[0])
	}
	for _, word := range words[1:] {
		if strings.HasPrefix(word, "-") || strings.Contains(word, "=") {
			continue
		}
		if filepath.IsAbs(word) {
			return filepath.Clean(word)
		}
		var there []string
		for _, path := range inPath(word, n.path) {
			if file, err := n.resolve(path, n.conceals); err == nil {
				if n.has(path, file) {
					return path
				}
				there = append(there, path)
			}
		}
		if len(there) == 0 {
			there = usual(word)
		}
		if len(there) > 0 {
			return there[0]
		}
		break
	}
	return absolute(words[0])
}

// loaderDirs are where the dynamic loader looks by itself, ld.so(8).
var loaderDirs = []string{"/lib64", "/usr/lib64", "/lib", "/usr/lib", "/lib/*-linux-gnu", "/usr/lib/*-linux-gnu", "/usr/local/lib"}

// mostLibraryDirs is in how many directories of a binary's own choice libraries are looked
// for.
const mostLibraryDirs = 64

// libraries are the files of the libraries that a binary names, as far as they
// are found.
func (n *needs) libraries(file string) []string {
	f, err := n.open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	binary, err := readProgram(f)
	if err != nil {
		return nil
	}
	var dirs []string
	for _, list := range binary.paths {
		for _, dir := range filepath.SplitList(list) {
			dir = strings.NewReplacer("$ORIGIN", filepath.Dir(file), "${ORIGIN}", filepath.Dir(file)).Replace(dir)
			if filepath.IsAbs(dir) && len(dirs) < mostLibraryDirs {
				dirs = append(dirs, filepath.Clean(dir))
			}
		}
	}
	for _, pattern := range loaderDirs {
		found, _ := filepath.Glob(pattern)
		dirs = append(dirs, found...)
	}
	var files []string
	for _, name := range binary.libraries {
		for _, dir := range dirs {
			path := filepath.Join(dir, name)
			if _, err := n.resolve(path, n.conceals); err == nil {
				files = append(files, path)
				break
			}
		}
	}
	return files
}
