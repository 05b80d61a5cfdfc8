// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"fmt"
	"path/filepath"
	"strings"
)

// MaxLinks is how many symbolic links the kernel follows on one path, path_resolution(7).
const MaxLinks = 40

// Walk follows an absolute path component by component, as the kernel does, and returns
// where that ends: as far as it came, if there is an error. It looks nothing up itself:
// visit is called with each name on the way, the real path of what it lies in before it,
// and with what is yet to come. It returns the target of a symbolic link that is to be
// followed, "" for what is to be taken as it is, or an error that ends the walk.
func Walk(path string, visit func(at string, rest []string) (target string, err error)) (string, error) {
	done, rest, links := "/", strings.Split(path, "/"), 0
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			done = filepath.Dir(done)
			continue
		}
		at := filepath.Join(done, name)
		target, err := visit(at, rest)
		if err != nil {
			return done, err
		}
		if target == "" {
			done = at
			continue
		}
		if links++; links > MaxLinks {
			return done, fmt.Errorf("more than %d symbolic links", MaxLinks)
		}
		if filepath.IsAbs(target) {
			done = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return done, nil
}
