// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"slices"
	"testing"

	"github.com/hashicorp/nomad/plugins/drivers"

	"github.com/burin-labs/nomad-driver-harn/sandbox"
)

// What was withheld at the start is withheld from sessions, whatever agent there
// is by then.
func TestWithheldIsStored(t *testing.T) {
	for _, withheld := range [][]string{{}, {"A", "B"}} {
		handle := drivers.NewTaskHandle(handleVersion)
		if err := handle.SetDriverState(&TaskState{Withheld: withheld}); err != nil {
			t.Fatal(err)
		}
		var state TaskState
		if err := handle.GetDriverState(&state); err != nil {
			t.Fatal(err)
		}
		if state.Withheld == nil || !slices.Equal(state.Withheld, withheld) {
			t.Errorf("%#v became %#v", withheld, state.Withheld)
		}
	}
	t.Setenv("HARN_OLD_SECRET", "of another agent")
	env := sandbox.Environment(map[string]string{"HARN_OLD_SECRET": "of an agent", "X": "1"}, []string{"HARN_OLD_SECRET"}, "u", "/task")
	if _, leaked := env["HARN_OLD_SECRET"]; leaked || env["X"] != "1" {
		t.Errorf("environment %v", env)
	}
}
