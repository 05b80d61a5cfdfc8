// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"os"
	"slices"

	"github.com/burin-labs/nomad-driver-harn/policy"
)

// settings are what every program reads of a host: certificates and the time zone.
// Where one is a symbolic link out of the system roots, its target is admitted.
var settings = []string{
	"/etc/localtime", "/etc/ca-certificates", "/etc/crypto-policies",
	"/etc/ssl", "/etc/ssl/certs", "/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/cert.pem", "/etc/ssl/ca-bundle.pem", "/etc/ssl/openssl.cnf",
	"/etc/pki", "/etc/pki/tls/certs", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/pki/tls/cert.pem",
}

// addSettings makes them system roots, unless the operator's are others, or the
// target is more than settings.
func (w *layout) addSettings(system []string) {
	for _, file := range settings {
		if _, err := os.Readlink(file); err != nil {
			continue // no link, mostly: one system call
		}
		target, links, err := policy.Follow(file)
		if err != nil || len(links) == 0 || !isBeneathAny(system, file) || isBeneathAny(w.policy.System, target) ||
			tooMuch(target) || checkPath(w.places, file, target, false) != nil {
			continue
		}
		w.policy.System = append(w.policy.System, target)
		w.links = append(w.links, links...)
	}
}

// settingsLinks are the links by which the settings are found.
func (w *layout) settingsLinks() []placed {
	var mounts []placed
	for _, link := range w.links {
		if !isBeneathAny(w.policy.System, link.Path) && !slices.ContainsFunc(mounts, func(m placed) bool { return m.Target == link.Path }) {
			mounts = append(mounts, symlink(link.Path, link.Target))
		}
	}
	return mounts
}
