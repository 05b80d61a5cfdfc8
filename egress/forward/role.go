// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package forward

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

// Name is argv[0] of a forwarder. A program that imports this package is one when it is
// started so.
const Name = "harn-egress"

// The descriptors of a forwarder, beside 0, 1 and 2, which are /dev/null.
const (
	PlanFD       = 3 // a file with the plan, as JSON
	ReportFD     = 4 // takes events; a pipe
	LogFD        = 5 // takes events of connections, if the plan says so
	DNSPacketsFD = 6
	DNSStreamsFD = 7
	TCPFD        = 8
	ResolverFD   = 9 // how the node looks names up, if the plan says that it is followed
	// FirstInwardFD is the first listening socket of a forwarder of the other direction,
	// which has none of the last three.
	FirstInwardFD = 6
)

// Environment is that of a forwarder.
//
// It is collected at 50% of growth, since it is idle for most of the time; and it does
// not grow beyond what the most connections take.
var Environment = []string{"GOMAXPROCS=2", "GOGC=50", "GOMEMLIMIT=96MiB", "GODEBUG=containermaxprocs=0"}

func init() {
	if len(os.Args) > 0 && os.Args[0] == Name {
		os.Exit(Main())
	}
}

// mostLogged is how long the log of connections gets, in bytes.
const mostLogged = 16 << 20

// reportPeriod is how long events are collected before they are told.
const reportPeriod = 100 * time.Millisecond

// mostReported is how many different events are told at once.
const mostReported = 100

// Main is the main function of a forwarder. It returns when a socket fails.
func Main() int {
	reports := pipeWriter(ReportFD)
	_ = unix.SetNonblock(ReportFD, true)
	if len(os.Args) > 1 {
		writeLine(reports, &Event{Time: time.Now(), Failed: true, Reason: "the one before was killed by signal " + os.Args[1] + " (9 is also the kernel's, for want of memory)"})
	}
	if err := run(reports); err != nil {
		writeLine(reports, &Event{Time: time.Now(), Failed: true, Reason: "the forwarder ends: " + err.Error()})
		return 1
	}
	return 0
}

// pipeWriter writes to a pipe what goes into it, and never waits for its reader.
type pipeWriter int

func (w pipeWriter) Write(p []byte) (int, error) { return unix.Write(int(w), p) }

func run(reports io.Writer) error {
	var plan Plan
	// From its beginning, whoever has read it before.
	if err := json.NewDecoder(io.NewSectionReader(os.NewFile(PlanFD, "plan"), 0, 16<<20)).Decode(&plan); err != nil {
		return fmt.Errorf("reading the plan: %w", err)
	}
	if err := confine(plan.Filter); err != nil {
		return err
	}
	r := newReporter(reports, reportPeriod, mostReported)
	var log func(Event)
	if plan.LogConnections {
		// What an earlier forwarder of the task has written counts.
		file, left := os.NewFile(LogFD, "log"), int64(mostLogged)
		if info, err := file.Stat(); err == nil {
			left -= info.Size()
		}
		l := &connectionLog{to: file, left: left}
		log = l.add
	}
	f := newForwarder(&plan, r.add, log)
	if plan.FollowsNode {
		f.resolver.follow(os.NewFile(ResolverFD, "resolver"), &plan.Rules)
	}
	ended := make(chan error)
	if plan.Inward != nil {
		for _, port := range plan.Inward {
			listener, err := tcpListener(port.Socket)
			if err != nil {
				return err
			}
			go func() {
				ended <- f.serve(listener, func(netip.AddrPort) (*target, error) {
					to := port.To.Addr()
					return &target{Event: Event{Address: to.String(), Port: port.To.Port()}, addresses: []netip.Addr{to}}, nil
				})
			}()
		}
		return <-ended
	}
	names := &nameServer{rules: &plan.Rules, table: f.table, ipv6: plan.IPv6, report: r.add}
	packets, err := net.FilePacketConn(os.NewFile(DNSPacketsFD, "DNS"))
	if err != nil {
		return fmt.Errorf("the name server's socket: %w", err)
	}
	streams, err := tcpListener(DNSStreamsFD)
	if err != nil {
		return err
	}
	connections, err := tcpListener(TCPFD)
	if err != nil {
		return err
	}
	go func() { ended <- names.servePackets(packets) }()
	go func() { ended <- names.serveStreams(streams) }()
	go func() { ended <- f.serve(connections, f.outward) }()
	return <-ended
}

func tcpListener(fd int) (*net.TCPListener, error) {
	file := os.NewFile(uintptr(fd), "listener")
	defer file.Close()
	listener, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("descriptor %d: %w", fd, err)
	}
	tcp, ok := listener.(*net.TCPListener)
	if !ok {
		return nil, fmt.Errorf("descriptor %d is no socket that listens for TCP", fd)
	}
	return tcp, nil
}

// confine gives up what only the start needs.
func confine(filter []byte) error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("prctl(PR_SET_DUMPABLE): %w", err)
	}
	var program seccomp.Program
	if err := program.UnmarshalBinary(filter); err != nil {
		return err
	}
	if len(program) == 0 {
		return errors.New("the plan has no filter")
	}
	return seccomp.InstallAll(program)
}
