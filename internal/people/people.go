// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package people finds the home directories of people, where credentials are kept.
package people

import (
	"bufio"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Homes are the homes of root and of users that are people, by passwd(5) of the host whose
// files lie in root, "" for this one. Services have homes as well, with nothing of the kind.
func Homes(root string) []string {
	homes := []string{"/root"}
	f, err := os.Open(root + "/etc/passwd")
	if err != nil {
		return homes
	}
	defer f.Close()
	for lines := bufio.NewReader(f); ; { // of any length: what comes after a long line counts, too
		line, err := lines.ReadString('\n')
		const uid, home, fields, firstPerson, nobody = 2, 5, 7, 1000, 65534
		if entry := strings.Split(strings.TrimSuffix(line, "\n"), ":"); len(entry) >= fields && path.IsAbs(entry[home]) {
			id, err := strconv.Atoi(entry[uid])
			dir := path.Clean(entry[home])
			if err == nil && (id == 0 || id >= firstPerson && id != nobody) && dir != "/" && !slices.Contains(homes, dir) {
				homes = append(homes, dir)
			}
		}
		if err != nil {
			return homes
		}
	}
}

// ListedHomes are the directories in /home: that of a user whom no passwd(5) knows, too.
func ListedHomes(root string) (homes []string) {
	entries, _ := os.ReadDir(root + "/home") // there may be none
	for _, entry := range entries {
		if entry.IsDir() {
			homes = append(homes, "/home/"+entry.Name())
		}
	}
	return homes
}
