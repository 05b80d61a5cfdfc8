// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

const capabilityProbe = "HARN_TEST_CAPABILITIES"

// What the agent lacks is named, by the field and the capability: seen in a process
// that setpriv(1) has taken one from.
func TestCapabilitiesThatTheAgentLacks(t *testing.T) {
	if os.Getenv(capabilityProbe) != "" {
		for _, name := range []string{"net_raw", "chown"} {
			n, err := parseCapability(name)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s: %v", name, checkOwnCapabilities([]int{n}))
		}
		return
	}
	kerneltest.Root(t)
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		t.Skip("there is no setpriv(1) here")
	}
	cmd := exec.Command(setpriv, "--bounding-set=-net_raw", os.Args[0], "-test.v", "-test.run=^TestCapabilitiesThatTheAgentLacks$")
	cmd.Env = append(os.Environ(), capabilityProbe+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if !strings.Contains(string(out), "net_raw: cap_add: the Nomad agent itself lacks net_raw: ") || !strings.Contains(string(out), "chown: <nil>") {
		t.Errorf("%s", out)
	}
	if err := withinCapabilities([]int{0, 13}, 1); err == nil || strings.Contains(err.Error(), "chown") {
		t.Errorf("%v", err)
	}
}
