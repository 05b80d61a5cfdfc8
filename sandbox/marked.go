// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/burin-labs/nomad-driver-harn/internal/people"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// Places that policies close or keep are protected places like others: they hold whatever the
// task or the host renames.

// markedPlaces are the places that a policy closes (read_deny_roots) or keeps (protect).
// request is the job's part of it, which the ceiling adds to; sources are those of writable
// volumes; shown are the real paths of the host that the task is shown. A place that nothing
// shows now is among them: whoever asks what a root or a volume shows must find it.
func markedPlaces(request, ceiling *policy.Policy, roots *policy.Roots, sources []string, dirs *Dirs, shown []string) ([]place, error) {
	var places []place
	var problems []string
	known := links{}
	follows := func(mark policy.Mark) follower {
		if says(ceiling, mark) || slices.Contains(ceiling.Protect, mark.Written) {
			return always
		}
		return ofAnybody(shown)
	}
	for _, mark := range roots.Denied {
		p := place{path: mark.Path, what: "denied by " + mark.Field, dynamic: true, marked: true}
		p.resolve(known, follows(mark))
		if p.through && slices.Contains(roots.Workspace, p.real) {
			continue // a root that is a file: nothing can be in it
		}
		if why := notForMarks(p.real); why != "" {
			problems = append(problems, fmt.Sprintf("%s: %s: %s", mark.Field, plain.Quote(mark.Written), why))
			continue
		}
		if landlock.Beneath(p.real, dirs.Task) {
			if says(request, mark) {
				problems = append(problems, fmt.Sprintf("%s: %s covers the task's own directories, of which nothing would be left: name what lies in them", mark.Field, plain.Quote(mark.Written)))
				continue
			}
			p.own = slices.Concat(dirs.own(), []string{dirs.tmp()}, dirs.Storage)
		}
		places = append(places, p)
	}
	for _, mark := range roots.Protected {
		p := place{path: mark.Path, what: "kept as it is by " + mark.Field, rule: readOnly, dynamic: true, marked: true, written: mark.Written}
		p.resolve(known, follows(mark))
		switch {
		case p.through && (slices.Contains(roots.Workspace, p.real) || slices.Contains(sources, p.real)):
			continue // a root that is a file: nothing can be in it
		case slices.Contains(roots.Workspace, p.real):
			problems = append(problems, fmt.Sprintf("%s: %s is a workspace root: name it in read_only_roots instead", mark.Field, plain.Quote(mark.Written)))
		case landlock.Beneath("/proc", p.real) && !slices.Contains(request.Protect, mark.Written):
			continue // no task writes there
		default:
			places = append(places, p)
		}
	}
	if len(problems) > 0 {
		return nil, errors.New(strings.Join(problems, "; "))
	}
	return places, nil
}

// checkMarks refuses what a job itself wants to have kept, and nothing that it is given shows.
// What the ceiling names is for jobs that can change it.
func checkMarks(request *policy.Policy, marked []place, roots *policy.Roots, sources []string, aliases []alias) error {
	given := slices.Concat(roots.Workspace, sources)
	var problems []string
	for i := range marked {
		p := &marked[i]
		if p.rule != readOnly || !filepath.IsAbs(p.written) || !slices.Contains(request.Protect, p.written) || isBeneathAny(given, p.path) ||
			slices.ContainsFunc(p.realNames(aliases), func(path string) bool { return isBeneathAny(given, path) }) {
			continue
		}
		problems = append(problems, fmt.Sprintf("protect: %s is in no workspace root, so that the task cannot change it: leave it out, or name what lies in one of %q", plain.Quote(p.written), roots.Workspace))
	}
	if len(problems) > 0 {
		return errors.New(strings.Join(problems, "; "))
	}
	return nil
}

// says reports whether a policy itself has the path of a mark.
func says(p *policy.Policy, mark policy.Mark) (found bool) {
	p.Each(func(f *policy.Field) {
		if f.Role == policy.DenyRole && slices.Contains(*f.Value(p).(*[]string), mark.Written) {
			found = true
		}
	})
	return found
}

// notForMarks says why a path cannot be closed: a task has something else there than the host.
func notForMarks(path string) string {
	if path == "/" {
		return "it leads to the whole file system, of which nothing would be left: name what is to be closed"
	}
	for _, private := range []string{"/proc", "/dev", tmpPlace()} {
		if path == private || private != tmpPlace() && landlock.Beneath(private, path) {
			return "the task has a " + private + " of its own, with nothing of the host's: leave it out"
		}
	}
	return ""
}

// credentialPlaces are the places where credentials are kept in homes, as far as these meet
// what a task is shown of the host: by their own names, by what links in a home lead to, or
// by other names that mounts give them. Harn denies them whatever a policy says.
func credentialPlaces(shown []string, mounted mountReader) ([]place, error) {
	if len(shown) == 0 {
		return nil, nil
	}
	mounts, err := mounted()
	if err != nil {
		return nil, err
	}
	listed, err := listedHomes()
	if err != nil {
		return nil, err
	}
	var all []place
	known, seen := links{}, map[string]bool{}
	for _, home := range slices.Concat(people.Homes(""), listed) {
		found, err := credentialsBelow(home, &known)
		if err != nil {
			return nil, err
		}
		if !seen[found.real] {
			seen[found.real] = true
			all = append(all, found.places...)
		}
	}
	elsewhere := map[string]bool{}
	for _, a := range mounts.aliases(shown, all) {
		elsewhere[a.place] = true
	}
	return slices.DeleteFunc(all, func(p place) bool {
		return !elsewhere[p.real] && !slices.ContainsFunc(shown, func(path string) bool { return meets(p.real, path) || meets(p.path, path) })
	}), nil
}

// listedHomes are the directories in /home.
func listedHomes() ([]string, error) {
	listed := new([]string)
	if !patient.run("/home", func() { *listed = people.ListedHomes("") }) {
		return nil, silent("/home, which is looked at for places of credentials,")
	}
	return *listed, nil
}

// home is what a home has of the places of credentials.
type home struct {
	real   string
	places []place
}

// lastHomes are what the homes had when they were looked at. One that does not answer any more
// has what it had: so a file server that is away keeps tasks from starting only if it was
// away from the beginning.
var lastHomes = struct {
	lock  sync.Mutex
	known map[string]*home
}{known: map[string]*home{}}

// credentialsBelow looks for the places of credentials below a home. known are the links
// that were looked at before: if the home does not answer, they are left to who still waits
// for it, and others begin.
func credentialsBelow(path string, known *links) (*home, error) {
	found, before := &home{}, *known
	answers := patient.run(path, func() { found.look(path, before) })
	if !answers {
		*known = links{}
	}
	lastHomes.lock.Lock()
	defer lastHomes.lock.Unlock()
	if answers {
		lastHomes.known[path] = found
		return found, nil
	}
	if known := lastHomes.known[path]; known != nil {
		return known, nil
	}
	return nil, silent("the home " + plain.Quote(path) + ", whose places of credentials no task is shown, and links in it may lead to what this one names, but it")
}

func (h *home) look(path string, known links) {
	named := place{path: path}
	named.resolve(known, always)
	h.real = named.real
	if h.real == "/" || isBeneathAny(defaultSystemReadRoots, h.real) {
		return
	}
	for _, name := range policy.Credentials {
		p := place{path: filepath.Join(h.real, name), what: "a place of credentials in a home, which is denied to every task", dynamic: true, marked: true}
		p.resolve(known, ofAnybody([]string{h.real}))
		h.places = append(h.places, p)
	}
}

// shownOf are the real paths of the host that roots and mounts show.
func shownOf(roots *policy.Roots, mounts []Mount, dirs *Dirs) []string {
	shown := slices.Concat(roots.Workspace, roots.ReadOnly, roots.Sockets)
	for _, m := range mounts {
		if at, err := realPath(m.HostPath); err == nil { // findVolumes says else
			shown = append(shown, at)
		}
	}
	// A task's directories are no home, unless one is: that of who runs it without Nomad.
	if dirs.Mounts != "" {
		shown = slices.DeleteFunc(shown, func(path string) bool { return landlock.Beneath(dirs.Task, path) })
	}
	return shown
}
