// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package forward

import (
	"testing"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

func TestMain(m *testing.M) {
	kerneltest.Isolate()
	kerneltest.Main(m)
}
