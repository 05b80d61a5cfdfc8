// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// usualPlaces are where programs are that a task's PATH does not name: those of
// vendors, of version managers, and of languages' own installers.
var usualPlaces = []string{
	"/usr/local/*/bin", "/opt/bin", "/opt/*/bin", "/opt/*/*/bin", "/opt/*", "/opt/*/node_modules/.bin", "/usr/lib/jvm/*/bin", "/usr/lib/*/bin", "/usr/lib/*/*/bin",
	"/usr/games", "/snap/bin", "/nix/var/nix/profiles/default/bin", "/run/current-system/sw/bin", "/srv/*/bin",
	"~/bin", "~/.local/bin", "~/.cargo/bin", "~/.nvm/versions/node/*/bin", "~/.pyenv/versions/*/bin", "~/.pyenv/shims", "~/.pyenv/bin", "~/.rbenv/shims",
	"~/.asdf/shims", "~/.local/share/mise/shims", "~/.volta/bin", "~/.bun/bin", "~/.deno/bin", "~/go/bin", "~/.go/bin", "~/.sdkman/candidates/*/current/bin",
	"~/.dotnet", "~/.npm-global/bin", "~/.opencode/bin", "~/.linuxbrew/bin", "~/miniconda3/bin", "~/anaconda3/bin",
}

// homes are home directories.
var homes = []string{"/root", "/home/*"}

// usual looks a program up in the usual places. The last of several versions
// comes first.
func usual(name string) []string {
	var found []string
	for _, place := range usualPlaces {
		for _, dir := range inHomes(place) {
			paths, _ := filepath.Glob(filepath.Join(dir, escapeGlob(name)))
			slices.Reverse(paths)
			found = append(found, slices.DeleteFunc(paths, func(path string) bool { return !isProgram(path) })...)
		}
	}
	return found
}

func inHomes(place string) []string {
	if place[0] != '~' {
		return []string{place}
	}
	var dirs []string
	for _, home := range homes {
		dirs = append(dirs, home+place[1:])
	}
	return dirs
}

// escapeGlob makes a name stand for itself in a pattern of [filepath.Match].
func escapeGlob(name string) string {
	var escaped []rune
	for _, r := range name {
		if r == '*' || r == '?' || r == '[' || r == '\\' {
			escaped = append(escaped, '\\')
		}
		escaped = append(escaped, r)
	}
	return string(escaped)
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

// elsewhere says where on the host a command is that was not found, and what to
// write for it. "" if it is nowhere.
func (f *finder) elsewhere(command string) string {
	for _, there := range usual(command) {
		err := f.check(there)
		advice := ""
		var outside *outsideError
		switch {
		case errors.As(err, &outside):
			advice = " and " + outside.Error()
		case err != nil:
			continue
		}
		return fmt.Sprintf("; on this host it is %q: write command = %s%s", there, hclString(there), advice)
	}
	return ""
}
