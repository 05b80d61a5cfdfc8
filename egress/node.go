// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package egress

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/burin-labs/nomad-driver-harn/egress/forward"
	"github.com/burin-labs/nomad-driver-harn/egress/rule"
)

// Files by which the node looks names up.
const (
	resolvConf = "/etc/resolv.conf"
	hostsFile  = "/etc/hosts"
)

// dnsPort is that of name servers: resolv.conf(5) can name no other.
const dnsPort = 53

// NodeResolver says how this node looks names up: as its files say now.
func NodeResolver() (forward.Resolver, error) { return ReadResolver(resolvConf, hostsFile) }

// ReadResolver says how names are looked up by files as resolv.conf(5) and hosts(5) are.
// One that does not exist says nothing.
func ReadResolver(conf, hosts string) (r forward.Resolver, err error) {
	c, err := dns.ClientConfigFromFile(conf)
	switch {
	case errors.Is(err, os.ErrNotExist):
		c = &dns.ClientConfig{Timeout: 5, Attempts: 2}
	case err != nil:
		return r, fmt.Errorf("reading the node's name servers: %w", err)
	}
	for _, text := range c.Servers {
		if address, err := netip.ParseAddr(text); err == nil {
			// A forwarder knows no interface by its name.
			if zone, err := net.InterfaceByName(address.Zone()); err == nil {
				address = address.WithZone(strconv.Itoa(zone.Index))
			}
			r.Servers = append(r.Servers, netip.AddrPortFrom(address, dnsPort))
		}
	}
	r.Timeout, r.Attempts = time.Duration(c.Timeout)*time.Second, c.Attempts
	if r.Hosts, err = readHosts(hosts); err != nil {
		return r, fmt.Errorf("reading the node's hosts file: %w", err)
	}
	return r, nil
}

// mostHosts is how many names of a hosts file are taken: some are lists of what to block.
const mostHosts = 4096

// mostOfHost is how many addresses one name has.
const mostOfHost = 16

// readHosts reads a hosts file, hosts(5).
func readHosts(name string) (map[string][]netip.Addr, error) {
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	hosts := map[string][]netip.Addr{}
	for lines := bufio.NewScanner(f); lines.Scan() && len(hosts) < mostHosts; {
		text, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		address, err := netip.ParseAddr(fields[0])
		if err != nil {
			continue
		}
		for _, host := range fields[1:] {
			if name, ok := rule.Name(host); ok && len(hosts[name]) < mostOfHost {
				hosts[name] = append(hosts[name], address.Unmap())
			}
		}
	}
	return hosts, nil
}
