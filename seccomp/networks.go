// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package seccomp

import (
	"slices"

	"golang.org/x/sys/unix"
)

// Network are the calls that open or use sockets, and io_uring, which can do
// the same without them: there is no network.
var Network = group("network", connections, ioUring, []Entry{
	deny("recvfrom", "receives from sockets"),
	deny("recvmmsg", "receives from sockets"),
	deny("recvmsg", "receives from sockets, and descriptors through them"),
	deny("sendmmsg", "sends through sockets"),
	deny("sendmsg", "sends through sockets, and descriptors with it"),
	deny("sendto", "sends through sockets"),
	deny("socket", "makes sockets"),
	deny("socketpair", "makes sockets"),
})

// connections are the calls that give sockets addresses.
var connections = []Entry{
	deny("accept", "takes connections"),
	deny("accept4", "takes connections"),
	deny("bind", "gives a socket an address"),
	deny("connect", "opens connections"),
	deny("listen", "offers a service"),
}

// LocalIPC is Network, but that a process can make pairs of sockets, send and
// receive: with its own children, and on what it was given.
//
// The pairs are streams or sequences. A pair of datagram sockets could send to
// any address of its namespace all the same; a filter does not see addresses.
// What makes, takes or opens connections stays denied: without an address there
// is nothing to accept.
var LocalIPC = group("local_ipc", connections, ioUring, []Entry{
	deny("socket", "makes sockets, that can have addresses"),
	deny("socketpair", "makes sockets, that can send to addresses").
		unless(is(0, unix.AF_UNIX), has(1, typeMask, unix.SOCK_STREAM, unix.SOCK_SEQPACKET)),
})

// UnixOnly is for a process that has UNIX sockets and no network: which of them
// it reaches is not for a filter to say.
var UnixOnly = group("unix_only", ioUring, []Entry{
	deny("socket", "makes sockets of a network").unless(is(0, unix.AF_UNIX)),
	deny("socketpair", "makes sockets of a network").unless(is(0, unix.AF_UNIX)),
})

// Families is for a process that has a network: of the families of sockets it
// admits those that programs use. Another one would make the kernel load the
// family's module, for anybody who asks, and these have had many holes.
//
// Packet sockets are admitted: the kernel wants CAP_NET_RAW for them.
var Families = group("families", []Entry{
	deny("socket", "has the kernel load the module of any family").
		with(unix.EAFNOSUPPORT).
		unless(is(0, unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK, unix.AF_PACKET)),
	deny("socketpair", "has the kernel load the module of any family").
		with(unix.EAFNOSUPPORT).unless(is(0, unix.AF_UNIX)),
})

// TCPOnly is for a process whose TCP ports are limited by other means
// (Landlock): it leaves it TCP, UNIX sockets, and the netlink protocol by which
// libc lists interfaces. DNS over UDP does not work.
var TCPOnly = group("tcp_only", ports(
	"sends past the rules for TCP ports",
	deny("socket", "uses protocols whose ports are not limited").
		unless(is(0, unix.AF_UNIX)).
		unless(internet, has(1, typeMask, unix.SOCK_STREAM), is(2, 0, unix.IPPROTO_TCP)).
		unless(routes...),
))

// NoListen is for a process that may connect to TCP ports, but not be connected
// to: listen(2) without bind(2) takes a free port, and no rule for ports sees it.
// It cannot tell a TCP socket from a UNIX one: neither listens.
var NoListen = group("no_listen", []Entry{
	deny("listen", "offers a service on a port that the kernel chooses"),
})

// ports are the entries for limited ports. Besides other protocols, what gets
// past the rules is TCP Fast Open: it opens a connection by sending, which is
// not connect(2).
func ports(why string, socket Entry) []Entry {
	return slices.Concat(ioUring, []Entry{
		deny("sendmmsg", why).unless(has(3, unix.MSG_FASTOPEN, 0)),
		deny("sendmsg", why).unless(has(2, unix.MSG_FASTOPEN, 0)),
		deny("sendto", why).unless(has(3, unix.MSG_FASTOPEN, 0)),
		socket,
		deny("socketpair", "has the kernel load the module of any family").unless(is(0, unix.AF_UNIX)),
	})
}

// typeMask is SOCK_TYPE_MASK of linux/net.h: the other bits of a socket's type
// are flags.
const typeMask = 0xf

// internet is the condition that a socket's family is one of the internet's.
var internet = is(0, unix.AF_INET, unix.AF_INET6)

// routes is the condition that a socket is for the netlink protocol of
// addresses and routes. Changing them takes CAP_NET_ADMIN.
var routes = Args{is(0, unix.AF_NETLINK), is(2, unix.NETLINK_ROUTE)}

// protocols are those of the internet's that programs use.
var protocols = []uint32{
	unix.IPPROTO_IP, // the type's own one
	unix.IPPROTO_ICMP,
	unix.IPPROTO_TCP,
	unix.IPPROTO_UDP,
	unix.IPPROTO_ICMPV6,
	unix.IPPROTO_RAW,
	unix.IPPROTO_MPTCP,
}
