// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package attempt

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// everySocket makes a socket of each family, type and protocol that a kernel could
// know, with and without what it does not look at: the flags of the type, and the
// upper halves of its arguments. The error lists what it got, and what no kernel
// would answer to one that it lacks, or keeps from this user: "2/1: 0 6".
//
// Without a filter the kernel would look for a module each time.
func everySocket() error {
	const families, types = 48, 12 // AF_MAX is 46, SOCK_MAX 11
	// Those that have numbers, and what follows IPPROTO_RAW: MPTCP, SMC, none.
	var protocols []uintptr
	for protocol := range uintptr(270) {
		if protocol < 150 || protocol > 250 {
			protocols = append(protocols, protocol)
		}
	}
	const upper = 0xffffffff << 32
	lacking := []unix.Errno{unix.EPERM, unix.EACCES, unix.EINVAL, unix.EAFNOSUPPORT, unix.ESOCKTNOSUPPORT, unix.EPROTONOSUPPORT}
	var got []string
	for family := range uintptr(families) {
		for kind := range uintptr(types) {
			var list []string
			for _, protocol := range protocols {
				for _, args := range [][3]uintptr{
					{family, kind, protocol},
					{family | upper, kind | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK | upper, protocol | upper},
				} {
					fd, _, errno := unix.RawSyscall(unix.SYS_SOCKET, args[0], args[1], args[2])
					text := fmt.Sprint(protocol)
					switch {
					case errno == 0:
						unix.Close(int(fd))
					case slices.Contains(lacking, errno):
						continue
					default:
						text += "=" + unix.ErrnoName(errno)
					}
					if !slices.Contains(list, text) {
						list = append(list, text)
					}
				}
			}
			if list != nil {
				got = append(got, fmt.Sprintf("%d/%d: %s", family, kind, strings.Join(list, " ")))
			}
		}
	}
	return fmt.Errorf("%s", strings.Join(got, "; "))
}
