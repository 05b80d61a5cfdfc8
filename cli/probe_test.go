// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"testing"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

// What is missing is said, and counts.
func TestJudge(t *testing.T) {
	kerneltest.Root(t)
	for want, proof := range map[int]executor.Proof{
		unusable: {Landlock: "disabled"},
		degraded: {ABI: 1},
		usable:   {ABI: 11},
	} {
		if got := judge(find(proof)); got != want {
			t.Errorf("%+v: %d, want %d", proof, got, want)
		}
	}
}
