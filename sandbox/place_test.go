// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"os"
	"strings"
	"testing"
)

// docs/security.md names every place that is masked for all tasks.
func TestDocumentsNameEveryMask(t *testing.T) {
	text, err := os.ReadFile("../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Protected places\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, mask := range builtinMasks {
		if !strings.Contains(section, "`"+mask+"`") {
			t.Errorf("docs/security.md, \"Protected places\": no `%s`", mask)
		}
	}
}
