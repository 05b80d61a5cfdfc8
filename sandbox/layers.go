// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/landlock"
)

// overlaid is the directory in which every host has something that is masked, and
// every task has something of its own.
const overlaid = "/etc"

// layered shows a read-only directory of the host with layers above it, where that
// is known to work: with protected places hidden by name, files of the task's own,
// and places for volumes that the host lacks. Nothing can take that away, and what
// is new in the directory is not withheld.
func (w *layout) layered(m placed, network bool) placed {
	inside := func(path string) (string, bool) {
		rel, err := filepath.Rel(m.Source, path)
		return rel, err == nil && rel != "." && filepath.IsLocal(rel)
	}
	var layers []executor.Layer
	add := func(path string, kind executor.LayerKind, content string) {
		if rel, ok := inside(path); ok {
			layers = append(layers, executor.Layer{Path: rel, Kind: kind, Content: content})
		}
	}
	volumes := w.lacking(m.Source)
	if m.Target != overlaid && len(volumes) == 0 || w.dirs.NoOverlays || w.overlayWorks(m.Source) != nil || w.holdsOwn(m.Source) {
		return m
	}
	for i := range w.places {
		p := &w.places[i]
		if p.rule == readOnly {
			continue
		}
		add(p.real, executor.LayerHide, "")
		for _, link := range p.links {
			// What lies beside the place is found by the link; what somebody puts in its
			// place is not.
			if target, ok := p.passed[link]; ok {
				add(link, executor.LayerLink, target)
			} else {
				add(link, executor.LayerHide, "")
			}
		}
	}
	for _, v := range volumes {
		kind := executor.LayerDir
		if info, err := os.Stat(v.host); err == nil && !info.IsDir() {
			kind = executor.LayerFile
		}
		add(v.task, kind, "")
	}
	if m.Target == overlaid {
		for path, content := range w.accounts {
			if w.isOpen(path) {
				add(path, executor.LayerFile, content)
			}
		}
		for _, file := range w.followed(network) {
			add(file, executor.LayerLink, filepath.Join(hostFilesPlace, filepath.Base(file)))
		}
		if network && w.dns != "" && w.isOpen(resolvConf) {
			add(resolvConf, executor.LayerFile, w.dns)
		}
		if network && w.hosts != "" && w.isOpen(hostsFile) {
			add(hostsFile, executor.LayerFile, w.hosts)
		}
	}
	if m.Layers = outermost(layers); len(m.Layers) > 0 {
		m.Type = executor.Overlay
	}
	return m
}

// holdsOwn reports whether a protected place in a directory has the task's own
// directories in it: what is hidden by name has no room for them.
func (w *layout) holdsOwn(dir string) bool {
	return slices.ContainsFunc(w.places, func(p place) bool { return landlock.Beneath(dir, p.real) && landlock.Beneath(p.real, w.dirs.Task) })
}

// isOpen reports whether a path of the host is neither a protected place nor
// where a volume is mounted.
func (w *layout) isOpen(path string) bool {
	return !slices.ContainsFunc(w.places, func(p place) bool {
		return p.rule != readOnly && (landlock.Beneath(p.real, path) || slices.ContainsFunc(p.links, func(link string) bool { return landlock.Beneath(link, path) }))
	}) && !slices.ContainsFunc(w.volumes, func(v volume) bool { return landlock.Beneath(v.task, path) })
}

// followed are the files of the host that the task sees by the plugin's copies.
func (w *layout) followed(network bool) []string {
	var files []string
	for _, file := range followed {
		if network && w.dirs.HostFiles != "" && w.isOpen(file) && (file != resolvConf || w.dns == "") && (file != hostsFile || w.hosts == "") {
			files = append(files, file)
		}
	}
	return files
}

// lacking are the volumes to be mounted in a directory of the host where there is
// nothing, or something of another kind.
func (w *layout) lacking(dir string) []volume {
	var missing []volume
	for _, v := range w.volumes {
		if v.task == dir || !landlock.Beneath(dir, v.task) || w.inVolume(v) {
			continue
		}
		there, err := os.Lstat(v.task)
		source, sourceErr := os.Stat(v.host)
		if sourceErr == nil && (err != nil || there.Mode()&os.ModeSymlink != 0 || there.IsDir() != source.IsDir()) {
			missing = append(missing, v)
		}
	}
	return missing
}

// inVolume reports whether a volume is mounted in another one.
func (w *layout) inVolume(v volume) bool {
	return slices.ContainsFunc(w.volumes, func(other volume) bool { return other.task != v.task && landlock.Beneath(other.task, v.task) })
}

// outermost leaves out what lies in what is not a directory, and what is there
// twice: what is hidden first.
func outermost(layers []executor.Layer) []executor.Layer {
	rank := func(l *executor.Layer) int {
		if l.Kind == executor.LayerHide {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(layers, func(a, b executor.Layer) int {
		if n := strings.Compare(a.Path, b.Path); n != 0 {
			return n
		}
		return rank(&a) - rank(&b)
	})
	var out []executor.Layer
	for _, l := range layers {
		if !slices.ContainsFunc(out, func(above executor.Layer) bool {
			return above.Path == l.Path || above.Kind != executor.LayerDir && landlock.Beneath(above.Path, l.Path)
		}) {
			out = append(out, l)
		}
	}
	return out
}

// ownFiles are the task's own files in /etc where no overlay works. A rename on
// the host takes such a mount away: what is there then is not granted.
func (w *layout) ownFiles(mounts []placed, network bool) []placed {
	var files []placed
	etc := slices.IndexFunc(mounts, func(m placed) bool { return m.Target == overlaid })
	if etc < 0 || mounts[etc].Type == executor.Overlay {
		return nil
	}
	file := func(path, content string) {
		if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() && w.isOpen(path) {
			files = append(files, placed{Mount: executor.Mount{Type: executor.File, Content: content, Target: path}})
		}
	}
	for path, content := range w.accounts {
		file(path, content)
	}
	if network && w.hosts != "" {
		file(hostsFile, w.hosts)
	}
	slices.SortFunc(files, func(a, b placed) int { return strings.Compare(a.Target, b.Target) })
	if network && w.dns != "" && isBeneathAny(w.policy.System, dnsTarget()) {
		files = append(files, dnsMount(w.dns))
	}
	return files
}

// hostFilesMounts show the plugin's copies, and where the host's own links lead.
func (w *layout) hostFilesMounts(network bool) []placed {
	files := w.followed(network)
	if len(files) == 0 {
		return nil
	}
	mounts := []placed{{Mount: executor.Mount{Type: executor.Bind, Source: w.dirs.HostFiles, Target: hostFilesPlace, ReadOnly: true}}}
	for _, file := range files {
		// Where the link leads now; the link of the task's own does not need it.
		for _, at := range []string{file, placeOf(file)} {
			if !isBeneathAny(w.policy.System, at) {
				mounts = append(mounts, symlink(at, filepath.Join(hostFilesPlace, filepath.Base(file))))
			}
		}
	}
	return mounts
}

// overlayNote says what does not follow the host, where /etc is no overlay.
func (w *layout) overlayNote() []string {
	if w.dirs.HostFiles == "" || !slices.Contains(w.policy.System, overlaid) || w.dirs.NoOverlays {
		return nil
	}
	err := w.overlayWorks(overlaid)
	if err == nil {
		return nil
	}
	return []string{fmt.Sprintf("what the host replaces in %s by rename while the task runs, as passwd or resolv.conf, the task does not see: %v", overlaid, err)}
}
