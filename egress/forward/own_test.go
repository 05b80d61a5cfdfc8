// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package forward

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

// What ends on this machine, by ip(8) in a network namespace of the test's own.
func TestIsOwn(t *testing.T) {
	kerneltest.Root(t)
	ip, err := exec.LookPath("ip")
	if err != nil {
		kerneltest.Missing(t, "no ip(8): %v", err)
	}
	kerneltest.Thread(func() {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Error(err)
			return
		}
		for _, args := range []string{
			"link set lo up", "link add d0 type veth peer name d1", "link set d1 up", "link set d0 up",
			"addr add 93.184.216.1/24 dev d0", "addr add 93.184.216.77/24 dev d0", "addr add 9.9.9.9/32 dev lo",
			"route add local 8.8.0.0/16 dev lo", "-6 route add local 2a01:dba::/64 dev lo", "-6 addr add 2a01:dbb::1/64 dev d0 nodad", "-6 addr add 2a01:dbb::2/64 dev d0 nodad",
			"route add 7.7.7.0/24 via 93.184.216.2",
		} {
			if out, err := exec.Command(ip, strings.Fields(args)...).CombinedOutput(); err != nil {
				t.Errorf("ip %s: %v: %s", args, err, out)
			}
		}
		for address, want := range map[string]bool{
			"93.184.216.1": true, "93.184.216.77": true, "9.9.9.9": true, "8.8.8.8": true, "127.0.0.2": true, "93.184.216.255": true, "::ffff:93.184.216.77": true,
			"2a01:dba::7": true, "2a01:dbb::1": true, "2a01:dbb::2": true, "::1": true,
			"93.184.216.2": false, "7.7.7.7": false, "2a01:dbb::3": false,
			"5.5.5.5": false, "2a02::1": false, // no route
		} {
			if got := isOwn(netip.MustParseAddr(address)); got != want {
				t.Errorf("%s: %v, want %v", address, got, want)
			}
		}
	})
}
