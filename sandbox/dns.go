// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

const (
	resolvConf = "/etc/resolv.conf"
	// resolvedConf has the real servers behind systemd-resolved's stub.
	resolvedConf = "/run/systemd/resolve/resolv.conf"
)

// DNS is what a resolv.conf(5) says.
type DNS struct{ Servers, Searches, Options []string }

// findDNS returns the resolv.conf(5) of a task, "" if it is the host's: that
// of the group's dns block, or, in a network namespace other than the host's,
// one without servers that only the host's loopback interface reaches.
func findDNS(task *Task) string {
	hosts := ""
	if task.NetworkNamespace != "" {
		hosts = beyondLoopback(resolvConf, resolvedConf)
	}
	dns := task.DNS
	if dns == nil || len(dns.Servers)+len(dns.Searches)+len(dns.Options) == 0 {
		return hosts
	}
	if hosts == "" {
		text, _ := os.ReadFile(resolvConf) // none is an empty one, resolv.conf(5)
		hosts = string(text)
	}
	return formatDNS(dns.completed(hosts))
}

// completed has what a dns block does not say from the host's file, as Nomad's own
// drivers do.
func (d *DNS) completed(hosts string) *DNS {
	all, host := *d, parseDNS(hosts)
	if len(all.Servers) == 0 {
		all.Servers = host.Servers
	}
	if len(all.Searches) == 0 {
		all.Searches = host.Searches
	}
	if len(all.Options) == 0 {
		all.Options = host.Options
	}
	return &all
}

// parseDNS reads a resolv.conf(5). Of lines that say where to search, the last counts.
func parseDNS(text string) *DNS {
	dns := &DNS{}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || line[0] == ' ' || line[0] == '\t' {
			continue // no keyword at its beginning
		}
		switch fields[0] {
		case "nameserver":
			dns.Servers = append(dns.Servers, fields[1])
		case "search", "domain":
			dns.Searches = fields[1:]
		case "options":
			dns.Options = append(dns.Options, fields[1:]...)
		}
	}
	return dns
}

func formatDNS(dns *DNS) string {
	var b strings.Builder
	for _, server := range dns.Servers {
		b.WriteString("nameserver " + server + "\n")
	}
	if len(dns.Searches) > 0 {
		b.WriteString("search " + strings.Join(dns.Searches, " ") + "\n")
	}
	if len(dns.Options) > 0 {
		b.WriteString("options " + strings.Join(dns.Options, " ") + "\n")
	}
	return b.String()
}

// beyondLoopback returns the second file if the first one names loopback
// servers only.
func beyondLoopback(first, second string) string {
	text, err := os.ReadFile(first)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if addr, err := netip.ParseAddr(fields[1]); err != nil || !addr.IsLoopback() {
			return ""
		}
	}
	servers, err := os.ReadFile(second)
	if err != nil {
		return ""
	}
	return string(servers)
}

// dnsMount shows a task its own resolv.conf, where the host's is, or where its
// symbolic link leads.
func dnsMount(content string) placed {
	return placed{Mount: executor.Mount{Type: executor.File, Content: content, Target: dnsTarget()}}
}

func dnsTarget() string {
	target, err := policy.RealPath(resolvConf)
	if err == nil {
		return target
	}
	link, err := os.Readlink(resolvConf)
	switch {
	case err != nil:
		return resolvConf
	case filepath.IsAbs(link):
		return filepath.Clean(link)
	}
	return filepath.Join(filepath.Dir(resolvConf), link)
}
