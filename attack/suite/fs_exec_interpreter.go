// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Runs a script in the workspace whose interpreter is outside of every root.

package main

import (
	"os"
	"os/exec"
)

func init() {
	attack(Attack{
		Run:     func() error { return runScript(outside() + "/program") },
		Sibling: func() error { return runScript("/bin/sh") },
	})
}

func runScript(interpreter string) error {
	script := freshName("script")
	must(os.WriteFile(script, []byte("#!"+interpreter+" identity\n"), 0o755))
	must(os.WriteFile(at("WORKSPACE")+"/identity", []byte("exit 0\n"), 0o644))
	cmd := exec.Command(script)
	cmd.Dir = at("WORKSPACE")
	cmd.Env = append(os.Environ(), "PATH=/bin")
	if interpreter == "/bin/sh" {
		cmd = exec.Command(script)
		must(os.WriteFile(script, []byte("#!/bin/sh\nexit 0\n"), 0o755))
	}
	return cmd.Run()
}
