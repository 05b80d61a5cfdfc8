// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package people

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestHomes(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	passwd := strings.Join([]string{
		"root:x:0:0::/root:/bin/sh", "toor:x:0:0::/srv/toor:/bin/sh", "daemon:x:1:1::/usr/sbin:/bin/false", "nobody:x:65534:65534::/nonexistent:/bin/false",
		"alice:x:1000:1000::/data:/bin/sh", "long:x:1:1:" + strings.Repeat("x", 100_000) + ":/usr/long:", "bob:x:1001:1001::/srv/bob/../bob/:/bin/sh",
		"everything:x:1002:1002::/:", "relative:x:1003:1003::home:", "short:x:1004", "word:x:many:1:::", "last:x:4294967294:1::/home/last:/bin/sh",
	}, "\n")
	if err := os.WriteFile(filepath.Join(root, "etc/passwd"), []byte(passwd), 0o644); err != nil {
		t.Fatal(err)
	}
	want := []string{"/root", "/srv/toor", "/data", "/srv/bob", "/home/last"}
	if got := Homes(root); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := Homes(t.TempDir()); !slices.Equal(got, []string{"/root"}) {
		t.Errorf("without the file: %q", got)
	}
}
