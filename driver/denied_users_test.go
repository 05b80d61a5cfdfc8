// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// lines are what a logger writes.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

// A name in denied_users that denies nobody is told to the operator when the plugin
// begins to serve.
func TestUnknownDeniedUsersAreLogged(t *testing.T) {
	config, err := parseConfig(t, `denied_users = ["root", "rooot"]`)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	log := make(lines, 1000)
	d := New(ctx, hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: log}))
	config.StateDir = t.TempDir() // no records of this host's
	d.config = config
	if _, err := d.Fingerprint(ctx); err != nil {
		t.Fatal(err)
	}
	for {
		select {
		case line := <-log:
			if strings.Contains(line, "denied_users") {
				if !strings.Contains(line, `rooot`) || strings.Contains(line, `root,`) {
					t.Errorf("%s, want that it names rooot alone", line)
				}
				return
			}
		case <-time.After(30 * time.Second):
			t.Fatal("no warning")
		}
	}
}
