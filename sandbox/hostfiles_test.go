// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

// A resolv.conf that is being written has no servers yet: forwarders keep those that they
// have, until it stays so.
func TestForwardersKeepTheirServers(t *testing.T) {
	kerneltest.Root(t)
	dir := filepath.Join(t.TempDir(), "state.host")
	nettest.File(t, hostsFile, "127.0.0.1 localhost\n10.0.0.1 db.example.com\n")
	h := &HostFiles{}
	for _, now := range []struct {
		conf    string
		ago     time.Duration
		follows string
	}{
		{"nameserver 10.0.0.53\n", 0, "10.0.0.53"},
		{"", 0, "10.0.0.53"},
		{"# by hand\n", time.Second, "10.0.0.53"},
		{"# by hand\nnameserver 10.0.0.54\n", 0, "10.0.0.54"},
		{"# none\n", time.Minute, "db.example.com"},
		{"nameserver 10.0.0.55\n", -time.Hour, "10.0.0.55"},
		{"# none, and of tomorrow\n", -time.Hour, "db.example.com"},
	} {
		nettest.File(t, resolvConf, now.conf)
		if when := time.Now().Add(-now.ago); now.ago != 0 {
			if err := os.Chtimes(resolvConf, when, when); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.Refresh(dir); err != nil {
			t.Errorf("%q: %v", now.conf, err)
		}
		text, err := os.ReadFile(filepath.Join(dir, resolverFile))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(text); !strings.Contains(got, now.follows) || strings.Contains(got, "10.0.0.5") != strings.HasPrefix(now.follows, "10.0.0.5") {
			t.Errorf("%q of %s ago: forwarders follow %s, expected %s", now.conf, now.ago, got, now.follows)
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
