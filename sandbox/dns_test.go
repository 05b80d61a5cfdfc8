// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestDNS(t *testing.T) {
	dns := &DNS{Servers: []string{"1.1.1.1", "::1"}, Searches: []string{"a.b", "c"}, Options: []string{"ndots:2"}}
	if got, want := findDNS(&Task{DNS: dns}), "nameserver 1.1.1.1\nnameserver ::1\nsearch a.b c\noptions ndots:2\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := findDNS(&Task{DNS: &DNS{}}); got != "" {
		t.Errorf("got %q for nothing", got)
	}
	// Beside options alone, the host's servers stay.
	var servers []string
	hosts, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		t.Skip(err)
	}
	for _, match := range regexp.MustCompile(`(?m)^nameserver\s+\S+`).FindAllString(string(hosts), -1) {
		servers = append(servers, strings.Join(strings.Fields(match), " "))
	}
	got := findDNS(&Task{DNS: &DNS{Options: []string{"use-vc"}}})
	for _, want := range append(servers, "options use-vc") {
		if !slices.Contains(strings.Split(got, "\n"), want) {
			t.Errorf("options alone: no line %q in %q", want, got)
		}
	}
	dir := t.TempDir()
	for content, want := range map[string]string{
		"nameserver 127.0.0.53\noptions x\n":              "real",
		"nameserver ::1\nnameserver 127.0.0.1\n":          "real",
		"nameserver 127.0.0.53\nnameserver 192.168.1.1\n": "",
		"nameserver 10.0.0.1\n":                           "",
	} {
		if err := os.WriteFile(dir+"/first", []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/second", []byte("real"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := beyondLoopback(dir+"/first", dir+"/second"); got != want {
			t.Errorf("%q: %q, want %q", content, got, want)
		}
		if got := beyondLoopback(dir+"/first", dir+"/none"); got != "" {
			t.Errorf("%q: %q without another file", content, got)
		}
	}
}

// What a dns block leaves out is the host's.
func TestDNSIsCompleted(t *testing.T) {
	const host = "# a comment\ndomain old\nsearch host.example b\n nameserver 9.9.9.9\nnameserver 10.0.0.1\nnameserver fe80::1%eth0 # x\noptions ndots:1\noptions trust-ad\nnameserver\n"
	for name, tc := range map[string]struct {
		dns  DNS
		want string
	}{
		"options":  {DNS{Options: []string{"use-vc"}}, "nameserver 10.0.0.1\nnameserver fe80::1%eth0\nsearch host.example b\noptions use-vc\n"},
		"searches": {DNS{Searches: []string{"x"}}, "nameserver 10.0.0.1\nnameserver fe80::1%eth0\nsearch x\noptions ndots:1 trust-ad\n"},
		"servers":  {DNS{Servers: []string{"1.1.1.1"}}, "nameserver 1.1.1.1\nsearch host.example b\noptions ndots:1 trust-ad\n"},
		"all":      {DNS{[]string{"1.1.1.1"}, []string{"x"}, []string{"y"}}, "nameserver 1.1.1.1\nsearch x\noptions y\n"},
	} {
		if got := formatDNS(tc.dns.completed(host)); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
	if got := formatDNS((&DNS{Options: []string{"x"}}).completed("")); got != "options x\n" {
		t.Errorf("a host without the file: %q", got)
	}
}
