// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package e2e tests the driver under a real Nomad agent: "make e2e".
package e2e

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

func TestMain(m *testing.M) {
	kerneltest.Isolate()
	if os.Geteuid() != 0 {
		if os.Getenv(kerneltest.Require) == "1" {
			fmt.Fprintln(os.Stderr, "these tests need root")
			os.Exit(1)
		}
		fmt.Println("skipped: these tests need root")
		return
	}
	os.Exit(run(m))
}

// agentOwner lets agents report failures outside of a test.
type agentOwner struct {
	testing.TB
	cleanups []func()
	failed   bool
}

func (o *agentOwner) Helper()                           {}
func (o *agentOwner) Failed() bool                      { return o.failed }
func (o *agentOwner) Cleanup(f func())                  { o.cleanups = append(o.cleanups, f) }
func (o *agentOwner) Logf(format string, args ...any)   { fmt.Fprintf(os.Stderr, format+"\n", args...) }
func (o *agentOwner) Errorf(format string, args ...any) { o.failed = true; o.Logf(format, args...) }
func (o *agentOwner) Error(args ...any)                 { o.Errorf("%s", fmt.Sprintln(args...)) }
func (o *agentOwner) Fatalf(format string, args ...any) { o.Errorf(format, args...); panic("no agent") }
func (o *agentOwner) Fatal(args ...any)                 { o.Fatalf("%s", fmt.Sprintln(args...)) }

// shared are the server, and the client of all tests that do not end it.
var shared struct {
	owner  *agentOwner
	server *server
	client *client
}

func run(m *testing.M) (code int) {
	if os.Getenv(clusterVariable) != "" {
		return m.Run() // it has a server and clients of its own
	}
	owner := &agentOwner{}
	defer func() {
		for _, f := range slices.Backward(owner.cleanups) {
			f()
		}
		if owner.failed {
			code = 1
		}
	}()
	shared.owner = owner
	shared.server = newServer(owner)
	shared.client = newClient(owner, shared.server, "default", options{})
	if code = m.Run(); code == 0 { // a test that has failed may leave anything
		checkLog(owner, &shared.client.agent)
		checkNothingLeft(owner, shared.client)
	}
	return code
}

// checkNothingLeft fails if anything of the tasks is there after their end.
func checkNothingLeft(t testing.TB, c *client) {
	left := func() (pids []int) {
		for _, p := range kerneltest.Processes() {
			if p.Args[0] == "harn-supervisor" && !waits(p) {
				pids = append(pids, p.PID)
			}
		}
		return pids
	}
	eventually(t, "supervisors are left: "+fmt.Sprint(left()), func() bool { return len(left()) == 0 })
	records, err := os.ReadDir(c.dir + "/state")
	if err != nil && !os.IsNotExist(err) || len(records) > 0 {
		t.Errorf("records are left: %v, %v", records, err)
	}
}

// complaint matches lines of the agent's log that the plugin wrote, or that the
// client's driver manager wrote about it.
var complaint = regexp.MustCompile(`\[(WARN|ERROR)\] +(\S*nomad-driver-harn\S*:|\S*driver_mgr\S*: .*driver=harn)`)

// checkLog fails if the plugin has warned of anything: all that tests do is
// ordinary use, or a mistake of a job's author.
func checkLog(t testing.TB, a *agent) {
	log, err := os.ReadFile(a.log())
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(log)) {
		if complaint.MatchString(line) {
			t.Errorf("the agent's log has: %s", line)
		}
	}
}
