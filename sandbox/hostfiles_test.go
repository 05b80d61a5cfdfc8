// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	egressrule "github.com/burin-labs/nomad-driver-harn/egress/rule"
	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
	"github.com/burin-labs/nomad-driver-harn/internal/nettest"
)

// What forwarders follow may fail: the copies, which all tasks have, are there even so, and
// in each directory.
func TestCopiesAreKeptWhateverForwardersFollow(t *testing.T) {
	kerneltest.Root(t)
	h := &HostFiles{}
	for _, broken := range []bool{true, false} {
		dir := filepath.Join(t.TempDir(), "state.host")
		if broken {
			if err := os.MkdirAll(filepath.Join(dir, resolverFile), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.Refresh(dir); broken != errors.As(err, new(*ResolverError)) || !broken && err != nil {
			t.Errorf("broken %v: %v", broken, err)
		}
		want, err := os.ReadFile(hostsFile)
		if err != nil {
			t.Skip(err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, "hosts")); err != nil || string(got) != string(want) {
			t.Errorf("broken %v: %q (%v), expected %q", broken, got, err, want)
		}
		info, err := os.Stat(filepath.Join(dir, resolverFile))
		if !broken && (err != nil || info.Mode().Perm() != 0o600) {
			t.Errorf("%v, %v: expected a file of root's alone", info, err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, ".new-*")); len(left) > 0 {
			t.Errorf("%v is left", left)
		}
	}
}

// A resolv.conf without servers is being written, or of a node that has lost its network:
// forwarders keep those that they have, also those that an earlier plugin knew.
func TestForwardersKeepTheirServers(t *testing.T) {
	kerneltest.Root(t)
	dir := filepath.Join(t.TempDir(), "state.host")
	h := &HostFiles{}
	for _, now := range []struct{ conf, hosts, server, name string }{
		{"nameserver 10.0.0.53\n", "10.0.0.1 db.example.com\n", "10.0.0.53", "db.example.com"},
		{"", "10.0.0.1 db.example.com\n", "10.0.0.53", "db.example.com"},
		{"garbage\n", "10.0.0.1 web.example.com\n", "10.0.0.53", "web.example.com"},
		{"", "", "10.0.0.53", "web.example.com"},
		{"nameserver 10.0.0.54\n", "", "10.0.0.54", ""},
		{"# none\n", "10.0.0.1 db.example.com\n", "10.0.0.54", "db.example.com"},
	} {
		nettest.File(t, resolvConf, now.conf)
		nettest.File(t, hostsFile, now.hosts)
		for _, plugin := range []string{"this", "the next"} {
			if err := h.Refresh(dir); err != nil {
				t.Errorf("%q: %v", now.conf, err)
			}
			text, err := os.ReadFile(filepath.Join(dir, resolverFile))
			if err != nil {
				t.Fatal(err)
			}
			if got := string(text); !strings.Contains(got, now.server+":53") || strings.Count(got, "10.0.0.5") != 1 ||
				!strings.Contains(got, now.name) || strings.Contains(got, ".example.com") != (now.name != "") {
				t.Errorf("%q, %q, %s plugin: forwarders follow %s", now.conf, now.hosts, plugin, got)
			}
			h = &HostFiles{}
		}
	}
}

// The node's own name is the task's loopback, unless a rule admits the node by it.
func TestNodesNameWithEgress(t *testing.T) {
	own, err := os.Hostname()
	if err != nil {
		t.Skip(err)
	}
	name, ok := egressrule.Name(own)
	if !ok || name == "localhost" {
		t.Skip("the node has no name of its own")
	}
	r, err := egressrule.Parse(name + ":5432")
	if err != nil {
		t.Fatal(err)
	}
	if hosts := egressHosts(egressrule.Set{}); !strings.Contains(hosts, name) {
		t.Errorf("%q, expected %q", hosts, name)
	}
	if hosts := egressHosts(egressrule.Set{Allow: []egressrule.Rule{r}}); strings.Contains(hosts, name) {
		t.Errorf("%q has %q, which a rule admits", hosts, name)
	}
}

// Harn's variables are there as long as the kernel takes them: more would keep any program
// from starting.
func TestVariablesOfEgress(t *testing.T) {
	for hosts, set := range map[int]bool{1: true, 4000: true, 6000: false} {
		e := &Egress{}
		for n := range hosts {
			r, err := egressrule.Parse(fmt.Sprintf("host%05d.example.com:443", n))
			if err != nil {
				t.Fatal(err)
			}
			e.Rules.Allow = append(e.Rules.Allow, r)
		}
		cmd := exec.Command("/bin/true")
		for name, value := range e.environment() {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		if err := cmd.Run(); err != nil || (len(cmd.Env) > 0) != set {
			t.Errorf("%d hosts: %d variables, %v", hosts, len(cmd.Env), err)
		}
	}
}
