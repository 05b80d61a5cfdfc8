// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// Without network, a task connects to sockets of others only where unix_socket_roots says
// so, and never in what it is shown read-only: whatever private place that is mounted in.
func TestSocketsOfOthersInPrivatePlaces(t *testing.T) {
	kerneltest.Root(t)
	inTmp, err := os.MkdirTemp("/tmp", "harn-servers-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(inTmp) })
	source := t.TempDir()
	exec := func(roots ...string) policy.Policy {
		return policy.Policy{SideEffectLevel: "process_exec", WorkspaceRoots: roots}
	}
	readOnly := func(p policy.Policy, roots ...string) policy.Policy {
		p.ReadOnlyRoots = roots
		return p
	}
	volume := func(at string, readOnly bool) []Mount {
		return []Mount{{HostPath: source, TaskPath: at, ReadOnly: readOnly}}
	}
	for name, tc := range map[string]struct {
		policy  policy.Policy
		mounts  []Mount
		hostIPC bool
		servers string // where a session reaches the task's
	}{
		"the whole task directory":     {exec(), nil, false, "/dev/shm /run /tmp"},
		"local and secrets":            {exec("local", "secrets"), nil, false, "/dev/shm /run"},
		"alloc":                        {exec("alloc"), nil, false, "/dev/shm /run"},
		"read-only in the directory":   {readOnly(exec("alloc"), "secrets"), nil, false, "/dev/shm /run /tmp"},
		"a root in /tmp":               {exec(inTmp), nil, false, "/dev/shm /run"},
		"a read-only root in /tmp":     {readOnly(exec(), inTmp), nil, false, "/dev/shm /run"},
		"so with network":              {readOnly(policy.Policy{}, inTmp), nil, false, "/dev/shm /run"},
		"a volume in /tmp":             {exec(), volume("/tmp/x", false), false, "/dev/shm /run"},
		"a read-only volume in /tmp":   {exec(), volume("/tmp/x", true), false, "/dev/shm /run"},
		"a volume in /var/tmp":         {exec(), volume("/var/tmp/x", false), false, "/dev/shm /run /tmp"}, // where the task directory is, and so another place
		"a volume in /run":             {exec(), volume("/run/x", false), false, "/dev/shm /tmp"},
		"a read-only volume in /run":   {policy.Policy{}, volume("/run/x", true), false, "/dev/shm /tmp"},
		"a volume in the directory":    {exec("local"), volume("data", true), false, "/dev/shm /run"},
		"the host's /dev/shm":          {exec(), nil, true, "/run /tmp"},
		"network, and a volume":        {policy.Policy{}, volume("/tmp/x", false), false, "/dev/shm /run /tmp"},
		"unix_socket_roots, and roots": {policy.Policy{SideEffectLevel: "process_exec", WorkspaceRoots: []string{"local"}, Extensions: policy.Extensions{UnixSocketRoots: []string{source}}}, nil, false, "/dev/shm /run /tmp"},
	} {
		t.Run(name, func(t *testing.T) {
			dirs := testDirs(t)
			for _, dir := range []string{"secrets", "tmp"} {
				if err := os.MkdirAll(dirs.Task+"/"+dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			settings, err := Defaults()
			if err != nil {
				t.Fatal(err)
			}
			settings.AllowHostIPC = true
			request := &Request{Policy: &tc.policy}
			if tc.hostIPC {
				request.IPCMode = modeHost
			}
			s, err := decide(settings, &Host{Node: policy.Node{ABI: 9}, Cores: 1}, &Task{Dirs: *dirs, Mounts: tc.mounts}, request, &account{anyone: true}, policy.Resolve)
			if err != nil {
				t.Fatal(err)
			}
			mounts := s.view.list()
			for _, m := range mounts {
				info, err := os.Stat(m.Source)
				if m.Type != executor.Bind || m.Source == dirs.Task+"/tmp" || m.Source == dirs.Task+"/alloc/logs" || slices.Contains(tc.policy.UnixSocketRoots, m.Source) || err != nil || !info.IsDir() {
					continue
				}
				admitted := !m.ReadOnly && (tc.policy.NetworkAllowed() || len(tc.policy.UnixSocketRoots) > 0)
				if !admitted && reaching(mounts, s.Policy.Landlock, m.Target)&landlock.ResolveUnix != 0 {
					t.Errorf("%s shows %s of the host, and sockets in it can be connected to", m.Target, m.Source)
				}
			}
			for _, place := range []string{"/dev/shm", "/run", "/tmp"} {
				want := slices.Contains(strings.Fields(tc.servers), place)
				if got := reaching(mounts, s.Policy.Landlock, place)&landlock.ResolveUnix != 0; got != want {
					t.Errorf("servers in %s: %v, want %v", place, got, want)
				}
			}
		})
	}
}

// reaching are the rights that rules grant on a path of a view, as the kernel finds them: on
// the file itself, by whatever name the rule was made, on the directories up to where it
// is mounted, and on from there.
func reaching(mounts []executor.Mount, set *landlock.Ruleset, path string) (rights landlock.AccessFS) {
	file := func(path string) string { // of the host, or of the view
		for _, m := range slices.Backward(mounts) {
			if landlock.Beneath(m.Target, path) {
				if m.Type == executor.Bind || m.Type == executor.Overlay {
					return "host " + filepath.Join(m.Source, strings.TrimPrefix(path, m.Target))
				}
				break
			}
		}
		return "view " + path
	}
	for {
		for _, rule := range set.Paths {
			if file(rule.Path) == file(path) {
				rights |= rule.Access
			}
		}
		if path == "/" {
			return rights
		}
		path = filepath.Dir(path)
	}
}
