// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// Validate checks all that can be known without a file system: names, and the
// form of paths. The error names each wrong field with its value.
func (p *Policy) Validate() error {
	var problems []string
	p.Each(func(f *Field) {
		if most := f.Kind.most(); most > 0 && len(*f.list(p)) > most {
			problems = append(problems, fmt.Sprintf("%s: %d entries, expected at most %d", f.Name, len(*f.list(p)), most))
			return
		}
		if f.Kind == Paths {
			for i, root := range *f.list(p) {
				err := validateRoot(root)
				// A root that is not there refuses the task. These need not be there.
				if err == nil && f.Role.takes() && strings.HasPrefix(root, "~") {
					err = fmt.Errorf("%q begins with ~, which stands for no home here: write the whole path", root)
				}
				if err != nil {
					problems = append(problems, fmt.Sprintf("%s[%d]: %v", f.Name, i, err))
				}
			}
		}
		if f.validate != nil {
			for _, problem := range f.validate(p) {
				problems = append(problems, f.Name+problem)
			}
		}
	})
	problems = append(problems, p.contradictions()...)
	if len(problems) > 0 {
		return errors.New(strings.Join(problems, "; "))
	}
	return nil
}

// most is how many entries a list of the kind has at most; 0 is no limit. Each path is
// compared with all others, by root and outside of the task's limits: of some ten
// thousand, a start would take minutes.
func (k Kind) most() int {
	switch k {
	case Paths, Devices:
		return 1024
	case Names:
		return 1 << 14
	}
	return 0
}

func validateRoot(root string) error {
	switch {
	case root == "":
		return errors.New("an empty path (a null element becomes one), expected a directory or a file")
	case strings.ContainsRune(root, 0):
		return fmt.Errorf("%q holds a NUL byte", root)
	case filepath.Clean(root) == "/":
		return fmt.Errorf("%q is the whole file system: name the directories that the task needs", root)
	case !filepath.IsAbs(root) && !filepath.IsLocal(root):
		return fmt.Errorf("%q leaves the task directory: a relative path must stay in it, write other places as absolute paths", root)
	}
	return nil
}

func validateOperation(capability, op string) error {
	if op == "" {
		return errors.New("an empty operation (a null element becomes one)")
	}
	if capability != Workspace {
		return nil // Harn's set of capabilities is open
	}
	// An operation within a scope, as write_text@plan, is for Harn alone to enforce.
	operation, scope, scoped := strings.Cut(op, "@")
	if scoped && scope == "" {
		return fmt.Errorf("%q has no scope behind the @", op)
	}
	if _, ok := workspaceOperations[operation]; !ok {
		names := slices.Sorted(maps.Keys(workspaceOperations))
		return fmt.Errorf("unknown workspace operation %q%s", op, Expected(op, names))
	}
	return nil
}
