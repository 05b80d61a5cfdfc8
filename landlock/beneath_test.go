// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package landlock

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// components are the names of a path, as it is read from left to right.
func components(path string) (names []string) {
	for name := range strings.SplitSeq(path, "/") {
		switch name {
		case "", ".":
		case "..":
			names = names[:max(0, len(names)-1)]
		default:
			names = append(names, name)
		}
	}
	return names
}

func FuzzBeneath(f *testing.F) {
	for _, seed := range [][2]string{
		{"/srv/models", "/srv/models"},
		{"/srv/models", "/srv/models/x"},
		{"/srv/models", "/srv/models-old"},
		{"/", "/x"},
		{"/", "/"},
		{"/srv/", "/srv/x"},
		{"/srv", "/srv/../etc"},
		{"/srv/..", "/etc"},
		{"//srv", "/srv/./x/"},
		{"/home/u", "/home/u/.ssh"},
		{"/srv", "/srv/..x"},
		{"/srv/x", "/srv"},
		{"/..", "/x"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, dir, path string) {
		if !filepath.IsAbs(dir) || !filepath.IsAbs(path) {
			return
		}
		of, in := components(dir), components(path)
		want := len(in) >= len(of) && slices.Equal(of, in[:len(of)])
		if got := Beneath(dir, path); got != want {
			t.Fatalf("%q in %q: %v, want %v", path, dir, got, want)
		}
	})
}

func TestBeneathOfRelativePaths(t *testing.T) {
	for _, tc := range []struct {
		dir, path string
		want      bool
	}{
		{"local", "local/x", true},
		{"local", "local", true},
		{"./local", "local/x", true},
		{".", "local", true},
		{"", "local", true},
		{"local", "local2", false},
		{".", "../x", false},
		{".", "/x", false},
		{"local", "/local", false},
		{"local", "local/../x", false},
	} {
		if got := Beneath(tc.dir, tc.path); got != tc.want {
			t.Errorf("%q in %q: %v, want %v", tc.path, tc.dir, got, tc.want)
		}
	}
}
