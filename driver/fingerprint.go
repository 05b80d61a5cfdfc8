// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/hashicorp/nomad/plugins/shared/structs"

	"github.com/burin-labs/nomad-driver-harn/cgroup"
	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
	"github.com/burin-labs/nomad-driver-harn/version"
)

// fingerprintPeriod is the time between fingerprints. What they find changes
// by a boot or by an operator's hand only.
const fingerprintPeriod = time.Minute

// fingerprint sends a fingerprint at once and then periodically, until the
// client or the plugin ends.
func (d *Driver) fingerprint(ctx context.Context, ch chan<- *drivers.Fingerprint) {
	defer close(ch)
	ticker := time.NewTicker(fingerprintPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.ctx.Done():
			return
		case ch <- d.takeFingerprint():
		}
		select {
		case <-ctx.Done():
			return
		case <-d.ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (d *Driver) takeFingerprint() *drivers.Fingerprint {
	fingerprint := d.lookAround()
	d.count().Healthy(fingerprint.Health == drivers.HealthStateHealthy)
	return fingerprint
}

func (d *Driver) lookAround() *drivers.Fingerprint {
	if !root() {
		return &drivers.Fingerprint{
			Health:            drivers.HealthStateUndetected,
			HealthDescription: "the Nomad client does not run as root, which starting tasks as other users needs",
		}
	}
	proof, err := executor.Probe()
	if err != nil {
		return &drivers.Fingerprint{Health: drivers.HealthStateUnhealthy, HealthDescription: plain.Line(err.Error())}
	}
	if err := d.currentConfig().CheckStateDir(); err != nil {
		return &drivers.Fingerprint{Health: drivers.HealthStateUnhealthy, HealthDescription: err.Error()}
	}
	fingerprint := describe(d.currentConfig(), proof, cgroup.Version())
	fingerprint.Attributes["driver."+Name+".egress"] = structs.NewBoolAttribute(d.egressWorks())
	fingerprint.Attributes["driver."+Name+".denial_events"] = structs.NewBoolAttribute(d.watchDenials() != nil)
	return fingerprint
}

// describe turns what the kernel was seen to enforce into node attributes.
func describe(config *Config, proof executor.Proof, cgroups int) *drivers.Fingerprint {
	prefix := "driver." + Name + "."
	attrs := map[string]*structs.Attribute{
		// driver.harn itself is set to 1 by the Nomad client.
		prefix + "version":      structs.NewStringAttribute(version.Version),
		prefix + "landlock.abi": structs.NewIntAttribute(int64(proof.ABI), ""),
		prefix + "seccomp":      structs.NewBoolAttribute(proof.Seccomp == ""),
		prefix + "cgroups":      structs.NewIntAttribute(int64(cgroups), ""),
		prefix + "profiles":     structs.NewStringAttribute(strings.Join(profiles(config, proof), ",")),
		prefix + "fallback":     structs.NewStringAttribute(config.ParsedFallback().String()),
		prefix + "logs":         structs.NewStringAttribute(config.collector()),
	}
	for _, feature := range landlock.Features {
		attrs[prefix+"landlock."+feature.Name] = structs.NewBoolAttribute(proof.ABI >= feature.Since)
	}
	for name, here := range config.PresetsHere() {
		attrs[prefix+"preset."+name] = structs.NewBoolAttribute(here)
	}
	for name, value := range describeCeiling(config) {
		attrs[prefix+"ceiling."+name] = structs.NewStringAttribute(value)
	}

	health, description := judge(config, proof, cgroups)
	return &drivers.Fingerprint{Attributes: attrs, Health: health, HealthDescription: plain.Line(description)}
}

// What a ceiling's attributes say where it puts no limit, and where it admits
// nothing.
const (
	noLimit = "none set"
	nothing = "nothing"
)

// describeCeiling turns a ceiling into attributes. Those with more than one
// value are lists as Nomad's constraint operator set_contains takes them.
func describeCeiling(config *Config) map[string]string {
	ceiling := config.Limits()
	if ceiling.PortsLimited() { // with either list, there is nothing but what they name
		ceiling.TCPConnect, ceiling.TCPBind = append([]int{}, ceiling.TCPConnect...), append([]int{}, ceiling.TCPBind...)
	}
	attrs := map[string]string{"profile": ceiling.Profile().String(), "side_effect_level": noLimit}
	if level, limited := ceiling.Level(); limited {
		attrs["side_effect_level"] = level.String()
	}
	attrs["egress"] = noLimit
	if e := ceiling.Egress; e != nil && e.Default != policy.EgressAllow {
		attrs["egress"] = cmp.Or(strings.Join(e.Allow, ","), nothing)
	}
	ceiling.Each(func(f *policy.Field) {
		values, list := valuesOf(f, ceiling)
		switch {
		case !list, strings.HasPrefix(f.Name, "egress."): // see above
		case values != nil:
			attrs[f.Name] = cmp.Or(strings.Join(values, ","), nothing)
		case f.Name == f.Key() && f.Role != policy.DenyRole && f.Role != policy.ProtectRole: // these, and members of a block, are there if something is said of them
			attrs[f.Name] = noLimit
		}
	})
	return attrs
}

// valuesOf are the values of a field that is a list, nil if it is absent.
func valuesOf(f *policy.Field, p *policy.Policy) (values []string, list bool) {
	switch value := f.Value(p).(type) {
	case *[]string:
		return *value, true
	case *[]int:
		return numbers(*value), true
	case *map[string][]string:
		if *value == nil {
			return nil, true
		}
		values = []string{}
		for _, capability := range slices.Sorted(maps.Keys(*value)) {
			for _, operation := range (*value)[capability] {
				values = append(values, capability+"."+operation)
			}
		}
		return values, true
	}
	return nil, false
}

// numbers prints ports; nil stays nil.
func numbers(ports []int) (text []string) {
	if ports != nil {
		text = []string{}
	}
	for _, port := range ports {
		text = append(text, strconv.Itoa(port))
	}
	return text
}

// judge says whether the node can run tasks, and if not, what to do.
func judge(config *Config, proof executor.Proof, cgroups int) (drivers.HealthState, string) {
	switch {
	case proof.Seccomp != "":
		return drivers.HealthStateUnhealthy, proof.Seccomp
	case proof.ABI == 0 && len(profiles(config, proof)) == 0:
		return drivers.HealthStateUnhealthy, `no task can run: ` + proof.Landlock + `; or set the plugin option fallback = "warn" to run tasks of the profile worktree under seccomp alone`
	}
	if cgroups == 0 {
		return drivers.HealthStateUnhealthy, "tasks would have no limits: " + cgroup.None
	}
	return drivers.HealthStateHealthy, drivers.DriverHealthy
}

// profiles are those that a job can run under on this node.
func profiles(config *Config, proof executor.Proof) []string {
	var names []string
	for p := config.Ceiling.Profile(); p <= policy.OSHardened; p++ {
		switch {
		case p == policy.OSHardened && proof.ABI == 0:
		case p == policy.Worktree && proof.ABI == 0 && config.ParsedFallback() == policy.Enforce:
		default:
			names = append(names, p.String())
		}
	}
	return names
}
