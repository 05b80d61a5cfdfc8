// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package seccomp

import "golang.org/x/sys/unix"

// Network are the calls that open or use sockets: there is no network, and no
// local communication by sockets either.
var Network = group("network", connections, []Entry{
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
var LocalIPC = group("local_ipc", connections, []Entry{
	deny("socket", "makes sockets, that can have addresses"),
	pairsAlone,
})

// pairsAlone leaves of the pairs of sockets those that send to each other alone.
var pairsAlone = deny("socketpair", "makes sockets, that can send to addresses").
	unless(Is(0, unix.AF_UNIX), MaskedIs(1, typeMask, unix.SOCK_STREAM, unix.SOCK_SEQPACKET))

// UnixOnly is for a process that has UNIX sockets and no network: which of them
// it reaches is not for a filter to say.
var UnixOnly = group("unix_only", []Entry{
	deny("socket", "makes sockets of a network").unless(Is(0, unix.AF_UNIX)),
	deny("socketpair", "makes sockets of a network").unless(Is(0, unix.AF_UNIX)),
})

// Families is for a process that has a network: of the families, types and
// protocols of sockets it admits those that programs use. Another one would make
// the kernel load its module, for anybody who asks, and these have had many holes.
// The answers are those of a kernel that does not have it, by which programs go on
// without.
//
// Of the internet's, these are TCP, UDP, ICMP as ping(8) sends it, and raw sockets.
// Multipath TCP is none of them: it is the same connection to who asks for it, by
// much more code of the kernel, and no rule for TCP ports sees it. Raw sockets never
// load a module; for these and for packet sockets the kernel wants CAP_NET_RAW, see
// also NoRaw. Of UNIX sockets every type is part of the kernel itself.
var Families = group("families", []Entry{
	deny("socket", "has the kernel load the module of any family").
		with(unix.EAFNOSUPPORT).
		unless(Is(0, unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK, unix.AF_PACKET)),
	deny("socket", "has the kernel load the module of any type of socket").
		with(unix.ESOCKTNOSUPPORT).
		unless(IsNot(0, unix.AF_INET, unix.AF_INET6)).
		unless(MaskedIs(1, typeMask, unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_RAW)),
	deny("socket", "has the kernel load the module of any protocol").
		with(unix.EPROTONOSUPPORT).
		unless(IsNot(0, unix.AF_INET, unix.AF_INET6)).
		unless(MaskedIs(1, typeMask, unix.SOCK_STREAM), Is(2, unix.IPPROTO_IP, unix.IPPROTO_TCP)).
		unless(MaskedIs(1, typeMask, unix.SOCK_DGRAM), Is(2, unix.IPPROTO_IP, unix.IPPROTO_UDP)).
		unless(Is(0, unix.AF_INET), MaskedIs(1, typeMask, unix.SOCK_DGRAM), Is(2, unix.IPPROTO_ICMP)).
		unless(Is(0, unix.AF_INET6), MaskedIs(1, typeMask, unix.SOCK_DGRAM), Is(2, unix.IPPROTO_ICMPV6)).
		unless(MaskedIs(1, typeMask, unix.SOCK_RAW), IsNot(2, unix.IPPROTO_IP)),
	deny("socketpair", "has the kernel load the module of any family").
		with(unix.EAFNOSUPPORT).unless(Is(0, unix.AF_UNIX)),
	plainTCP,
})

// plainTCP keeps a TCP socket from becoming one of another protocol (TLS and SMC in
// the kernel, ESP), and from having the kernel load the module of any algorithm (keys
// of TCP-AO). OpenSSL, nginx and others do TLS by themselves then.
var plainTCP = deny("setsockopt", "makes a TCP socket one of another protocol").
	with(unix.ENOPROTOOPT).
	unless(IsNot(1, unix.IPPROTO_TCP)).
	unless(IsNot(2, unix.TCP_ULP, tcpAOAddKey))

// tcpAOAddKey is TCP_AO_ADD_KEY of linux/tcp.h.
const tcpAOAddKey = 38

// RoutesOnly leaves a process, of the protocols of netlink, that of addresses and
// routes, by which libc lists interfaces. The others are for who administers a
// network (CAP_NET_ADMIN), or show the host: its sockets, devices, and log of
// audits. Programs take the answer for a kernel that was built without them.
var RoutesOnly = group("routes_only", []Entry{
	deny("socket", "has the kernel load the module of any protocol of netlink").
		with(unix.EPROTONOSUPPORT).
		unless(IsNot(0, unix.AF_NETLINK)).
		unless(Is(2, unix.NETLINK_ROUTE)),
})

// NoRaw is for a process without CAP_NET_RAW, and says what the kernel would say.
// In a user namespace of its own the process has the capability, and a great deal of
// code to try it on.
var NoRaw = group("no_raw", []Entry{
	deny("socket", "makes packets by itself").
		unless(Is(0, unix.AF_UNIX, unix.AF_NETLINK)).
		unless(internet, MaskedIs(1, typeMask, unix.SOCK_STREAM, unix.SOCK_DGRAM)),
})

// TCPOnly is for a process whose TCP ports are limited by other means
// (Landlock): it leaves it TCP, UNIX sockets, and the netlink protocol by which
// libc lists interfaces. DNS over UDP does not work.
//
// Besides other protocols, what gets past the rules is TCP Fast Open: it opens a
// connection by sending, which is not connect(2).
var TCPOnly = group("tcp_only", []Entry{
	deny("sendmmsg", pastPorts).unless(MaskedIs(3, unix.MSG_FASTOPEN, 0)),
	deny("sendmsg", pastPorts).unless(MaskedIs(2, unix.MSG_FASTOPEN, 0)),
	deny("sendto", pastPorts).unless(MaskedIs(3, unix.MSG_FASTOPEN, 0)),
	deny("socket", "uses protocols whose ports are not limited").
		unless(Is(0, unix.AF_UNIX)).
		unlessTCP(),
	deny("socketpair", "has the kernel load the module of any family").unless(Is(0, unix.AF_UNIX)),
	plainTCP,
})

// unlessTCP admits TCP sockets, and the netlink protocol by which libc lists interfaces.
func (e Entry) unlessTCP() Entry {
	return e.
		unless(internet, MaskedIs(1, typeMask, unix.SOCK_STREAM), Is(2, 0, unix.IPPROTO_TCP)).
		unless(Is(0, unix.AF_NETLINK), Is(2, unix.NETLINK_ROUTE))
}

const pastPorts = "sends past the rules for TCP ports"

// TCPAndUnix is for a process that has TCP on a loopback of its own, in a network namespace
// with nothing else, and UNIX sockets: which of them it reaches is not for a filter to say.
var TCPAndUnix = group("tcp_and_unix", []Entry{
	deny("socket", "makes sockets of other networks").
		unless(Is(0, unix.AF_UNIX)).
		unlessTCP(),
	deny("socketpair", "makes sockets of other networks").unless(Is(0, unix.AF_UNIX)),
	plainTCP,
})

// TCPAndPairs is TCPAndUnix without UNIX sockets that have an address: of these, a
// process has pairs, as under LocalIPC.
var TCPAndPairs = group("tcp_and_pairs", []Entry{
	deny("socket", "makes sockets of other networks, and UNIX sockets that can have addresses").
		unlessTCP(),
	pairsAlone,
	plainTCP,
})

// NoListen is for a process that may connect to TCP ports, but not be connected
// to: listen(2) without bind(2) takes a free port, and no rule for ports sees it.
// It cannot tell a TCP socket from a UNIX one: neither listens.
var NoListen = group("no_listen", []Entry{
	deny("listen", "offers a service on a port that the kernel chooses"),
})

// typeMask is SOCK_TYPE_MASK of linux/net.h: the other bits of a socket's type
// are flags.
const typeMask = 0xf

// internet is the condition that a socket's family is one of the internet's.
var internet = Is(0, unix.AF_INET, unix.AF_INET6)
