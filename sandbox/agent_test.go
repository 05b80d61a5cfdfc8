// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// A plugin that has outlived its agent serves the next one, of which it has not
// inherited the environment.
func TestVariablesOfTheNextAgent(t *testing.T) {
	program, err := os.ReadFile("/bin/sleep")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "harn-next-agent")
	if err := os.WriteFile(path, program, 0o755); err != nil {
		t.Fatal(err)
	}
	next := exec.Command(path, "60")
	next.Env = []string{"HARN_NEXT_SECRET=of the next", "LANG=C.UTF-8"}
	if err := next.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = next.Process.Kill(); _ = next.Wait() })

	nomad := map[string]string{"HARN_NEXT_SECRET": "of the next", "LANG": "C.UTF-8", "HARN_JOB_SECRET": "of the next"}
	was := theAgent
	t.Cleanup(func() { theAgent = was })
	if got := Withhold(nomad); len(got) != 0 {
		t.Errorf("of the same agent: withheld %q", got)
	}
	if got := findAgent(next.Process.Pid).program; got != "harn-next-agent" {
		t.Errorf("its program is %q", got)
	}
	theAgent = agent{pid: -1, program: "harn-next-agent"} // another than this process's parent
	if got := Withhold(nomad); !slices.Equal(got, []string{"HARN_NEXT_SECRET"}) {
		t.Errorf("of the next agent: withheld %q", got)
	}
}
