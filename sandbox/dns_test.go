// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"os"
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
