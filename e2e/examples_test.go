// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The README's job shows what the README says.
func TestREADME(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(readme), "```hcl\njob ")
	hcl, _, ended := strings.Cut(rest, "```")
	if !found || !ended {
		t.Fatal("the README has no job")
	}
	// Another ID: the example hello runs at the same time.
	j := shared.client.run(t, strings.Replace("job "+hcl, `job "hello"`, `job "readme"`, 1))
	if out := j.logs("stdout"); out != "hello\ndenied\n" {
		t.Errorf("stdout %q", out)
	}
	if errs := j.logs("stderr"); errs != "ls: cannot open directory '/root': Permission denied\n" {
		t.Errorf("stderr %q", errs)
	}
}

// The examples run as they stand, and show what they say.
func TestExamples(t *testing.T) {
	t.Parallel()
	a := shared.client
	logs := map[string][]string{
		"hello": {
			"write to the workspace: allowed\nread the workspace: allowed\n",
			"list /root: denied (ls: cannot open directory '/root': Permission denied)\n",
			"write to /etc: denied (bash: line 1: /etc/hello: Read-only file system)\n",
			"open a socket: denied (bash: socket: Operation not permitted",
			"hello from hello\n",
		},
		"analyser": {"lines of text: 3\n", "it cannot be changed\n"},
		"repository": {
			"sources can be changed\n", "the key cannot be read\n", "hooks stay as they are\n", "no configuration can be planted\n", "Connection refused\n",
		},
		"writer":   {"wrote ", "nothing else can be written\n"},
		"network":  {"the server says: hello from the server\n"},
		"egress":   {"port 443: ECONNREFUSED\nport 22: EACCES\nUDP: EPERM\nlistening: EPERM\n"},
		"hosts":    {"curl: (6) Could not resolve host: pypi.org\n", "curl: (7) Failed to connect to 1.1.1.1 port 443"},
		"hardened": {"profile os_hardened\n"},
		"harn":     {"hello from harn\n"},
	}
	results := map[string]string{"hello": "hello/local/greeting", "writer": "writer/local/report"}
	files, err := filepath.Glob("../example/*.nomad.hcl")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, file := range files {
		name := filepath.Base(file)[:len(filepath.Base(file))-len(".nomad.hcl")]
		found = append(found, name)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hcl, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := a.Jobs().ParseHCL(string(hcl), true)
			if err != nil {
				t.Fatal(err)
			}
			if answer, _, err := a.Jobs().Validate(parsed, nil); err != nil || answer.Error != "" {
				t.Fatalf("%+v, %v", answer, err)
			}
			if _, err := exec.LookPath("harn"); err != nil && name == "harn" {
				t.Skip("harn is not installed")
			}
			j := a.submit(t, string(hcl))
			j.untilDead()
			if got := j.exited(); got != "Exit Code: 0" {
				t.Errorf("%q\nstderr: %s\n%s", got, j.logs("stderr"), j.events())
			}
			j.wantLogs("stdout", logs[name]...)
			if path := results[name]; path != "" {
				file, err := a.AllocFS().Cat(j.alloc, path, nil)
				if err != nil {
					t.Fatalf("what it has written: %v", err)
				}
				file.Close()
			}
		})
	}
	for name := range logs {
		if !slices.Contains(found, name) {
			t.Errorf("there is no example %s", name)
		}
	}
}
