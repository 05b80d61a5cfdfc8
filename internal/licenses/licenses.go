// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package licenses finds the licenses of a module by the files in its directory.
package licenses

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

var file = regexp.MustCompile(`(?i)^(licen[cs]e|copying|unlicense)([.-].*)?$`)

// Of returns the licenses that the files of a directory have, by SPDX's names, each once,
// and the text of all these files. There are none if no such file is there.
func Of(dir string) (names []string, text string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, "", err
	}
	for _, entry := range entries {
		if !file.MatchString(entry.Name()) || entry.IsDir() {
			continue
		}
		one, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, "", err
		}
		text += string(one)
		for _, match := range licensecheck.Scan(one).Match {
			if !slices.Contains(names, match.ID) && !match.IsURL {
				names = append(names, match.ID)
			}
		}
		// Which the library does not know.
		if strings.Contains(string(one), "Business Source License") {
			names = append(names, "BUSL-1.1")
		}
	}
	return names, text, nil
}
