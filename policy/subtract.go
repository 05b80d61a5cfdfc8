// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"fmt"
	"path"
	"slices"

	"github.com/burin-labs/nomad-driver-harn/landlock"
)

// Guard limits what rules for directories above a path grant on it.
type Guard struct {
	// Path is a real path as the task sees it. It need not exist: what appears
	// there later is guarded as well.
	Path string
	// Keep are the rights that may stay; 0 leaves none.
	Keep landlock.AccessFS
	// Except are directories at or beneath Path that the guard does not hold for.
	Except []string
}

// chainRights may stay on the directories that lead to a guarded path. The
// kernel grants them on the guarded path, too: so they show names, no content.
const chainRights = landlock.ReadDir

// MaxSiblings limits the rules that take the place of one.
const MaxSiblings = 4096

// Split says what is granted on all that is in a directory now, where nothing is
// granted on what appears in it later.
type Split struct {
	Dir    string
	Access landlock.AccessFS
}

// Subtract takes what guards do not keep away from the rules. Landlock has no
// rule that denies: a rule for a directory that a guarded path lies in becomes
// rules for all that lies beside the path. So whatever is made, renamed or
// replaced in these directories later has no rule, which a mount that covers the
// path cannot achieve: the kernel detaches it when somebody replaces the path
// in another mount namespace, rename(2).
//
// list returns the names of the files and directories in a directory of the
// task's view, without symbolic links, for which there is nothing to grant.
func Subtract(rules []landlock.PathRule, guards []Guard, list func(dir string) ([]string, error)) ([]landlock.PathRule, []Split, error) {
	s := subtraction{list: list}
	for _, rule := range rules {
		var inside []Guard
		for _, g := range guards {
			switch {
			case g.excepts(rule.Path):
			case landlock.Beneath(g.Path, rule.Path):
				rule.Access &= g.Keep
			case landlock.Beneath(rule.Path, g.Path):
				inside = append(inside, g)
			}
		}
		s.named, s.rules = rule.Path, 0
		if err := s.split(rule, inside); err != nil {
			return nil, nil, err
		}
	}
	return merge(s.out, ^landlock.AccessFS(0)), s.splits, nil
}

func (g *Guard) excepts(path string) bool {
	return slices.ContainsFunc(g.Except, func(dir string) bool { return landlock.Beneath(dir, path) })
}

type subtraction struct {
	list  func(dir string) ([]string, error)
	out   []landlock.PathRule
	named string // the rule that is being split
	rules int    // in its place

	splits []Split
}

func (s *subtraction) add(rule landlock.PathRule) {
	if rule.Access != 0 {
		s.out = append(s.out, rule)
		s.rules++
	}
}

// split adds the rule, or what takes its place: guards lie beneath its path.
func (s *subtraction) split(rule landlock.PathRule, guards []Guard) error {
	kept := rule.Access
	for _, g := range guards {
		kept &= g.Keep | chainRights
	}
	if kept == rule.Access {
		s.add(rule)
		return nil
	}
	names, err := s.list(rule.Path)
	if err != nil {
		return fmt.Errorf("listing %q, of which a part is protected: %w", rule.Path, err)
	}
	if s.rules+len(names) > MaxSiblings {
		return fmt.Errorf("%q has more than %d files beside %q, which is protected: each needs a rule of its own; name the directories in it that the task needs", s.named, MaxSiblings, guards[0].Path)
	}
	s.splits = append(s.splits, Split{rule.Path, rule.Access})
	s.add(landlock.PathRule{Path: rule.Path, Access: kept, Optional: rule.Optional})
	for _, name := range names {
		child := landlock.PathRule{Path: path.Join(rule.Path, name), Access: rule.Access, Optional: true}
		var inside []Guard
		for _, g := range guards {
			switch {
			case g.Path == child.Path:
				child.Access &= g.Keep
			case landlock.Beneath(child.Path, g.Path):
				inside = append(inside, g)
			}
		}
		if err := s.split(child, inside); err != nil {
			return err
		}
	}
	return nil
}
