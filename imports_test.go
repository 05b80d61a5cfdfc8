// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Nomad, the protocol that it speaks with its plugins, and metrics are the driver's alone.
func TestImports(t *testing.T) {
	const module = "github.com/burin-labs/nomad-driver-harn/"
	foreign := []string{"github.com/hashicorp/nomad/", "github.com/hashicorp/go-plugin", "google.golang.org/grpc", "github.com/prometheus/"}
	for _, name := range []string{"sandbox", "cgroup", "meter", "denials", "audit", "policy", "executor", "landlock", "seccomp", "cli/command", "cli/early", "executor/image/program", "executor/image/commands"} {
		out, err := exec.Command("go", "list", "-deps", "./"+name).Output()
		if err != nil {
			t.Fatalf("go list -deps ./%s: %v", name, err)
		}
		packages := strings.Fields(string(out))
		if !slices.Contains(packages, module+name) {
			t.Errorf("%s: the list of its dependencies lacks itself: %q", name, packages)
		}
		for _, dependency := range packages {
			if slices.ContainsFunc(foreign, func(prefix string) bool {
				return strings.HasPrefix(dependency+"/", strings.TrimSuffix(prefix, "/")+"/")
			}) {
				t.Errorf("%s depends on %s", name, dependency)
			}
			if dependency == module+"driver" {
				t.Errorf("%s depends on the driver", name)
			}
		}
	}
	// That the list would name them.
	out, err := exec.Command("go", "list", "-deps", "./driver").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, prefix := range foreign {
		if !strings.Contains(string(out), "\n"+strings.TrimSuffix(prefix, "/")) {
			t.Errorf("the driver does not depend on %s: this test shows nothing", prefix)
		}
	}
}
