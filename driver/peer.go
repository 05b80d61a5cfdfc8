// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/credentials"

	"github.com/burin-labs/nomad-driver-harn/executor"
)

// The socket of a plugin is a file in the agent's directory for temporary files, and says
// nothing of who may command it: whoever can connect could start a process in any task.
// A task of root to which a root shows that directory is one. So the plugin asks the
// kernel who has connected, and answers the processes that have started it alone.

// agentOnly has a server of gRPC answer some processes, and nobody else. Nothing is
// encrypted: what is sent stays in the kernel.
type agentOnly struct {
	processes []starter // that may connect
	logger    hclog.Logger
	once      sync.Once
	// ended is called once the process that connected first has ended. address is that of
	// the socket.
	ended func(address string)
}

// starter is a process that may connect.
type starter struct {
	pid int
	fd  int // a pidfd: its PID may become another's
}

// whoStarted are this process and those above it: the agent, and what has started it.
func whoStarted() []starter {
	var found []starter
	for pid := os.Getpid(); pid > 0; {
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			found = append(found, starter{pid, fd})
		}
		above, err := executor.ParentOf(pid)
		if err != nil {
			break
		}
		pid = above
	}
	return found
}

// lives says that the process has not ended.
func (s starter) lives() bool {
	ended, err := unix.Poll([]unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}, 0)
	return err == nil && ended == 0
}

// ServerHandshake refuses a connection that was made by another process, socket(7),
// SO_PEERCRED.
func (a *agentOnly) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	pid, err := connected(conn)
	i := slices.IndexFunc(a.processes, func(s starter) bool { return s.pid == pid && s.lives() })
	if err == nil && i < 0 {
		err = fmt.Errorf("process %d has connected to it, expected the Nomad agent that has started it", pid)
	}
	if err != nil {
		a.logger.Warn("a connection to the plugin was refused", "error", err)
		return nil, nil, errors.Join(err, conn.Close())
	}
	if a.ended != nil {
		a.once.Do(func() { go a.await(a.processes[i], conn.LocalAddr().String()) })
	}
	return conn, byAgent{credentials.CommonAuthInfo{SecurityLevel: credentials.NoSecurity}}, nil
}

// await waits until the agent has ended.
func (a *agentOnly) await(agent starter, address string) {
	for agent.lives() {
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(agent.fd), Events: unix.POLLIN}}, -1)
	}
	a.ended(address)
}

// connected is the PID of the process that has made a connection.
func connected(conn net.Conn) (int, error) {
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, fmt.Errorf("a connection to the plugin is of %T, expected a UNIX socket", conn)
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0, err
	}
	var peer *unix.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		peer, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if failed != nil {
		return 0, fmt.Errorf("getsockopt(SO_PEERCRED): %w", failed)
	}
	return int(peer.Pid), nil
}

// byAgent is what is known of a connection.
type byAgent struct{ credentials.CommonAuthInfo }

// AuthType is for who looks at a connection.
func (byAgent) AuthType() string { return "peer" }

// ClientHandshake is of clients: this is a server's.
func (a *agentOnly) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("the plugin connects to nobody")
}

// Info says what these credentials are.
func (a *agentOnly) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "peer"}
}

// Clone returns the same: they never change.
func (a *agentOnly) Clone() credentials.TransportCredentials { return a }

// OverrideServerName is of clients.
func (a *agentOnly) OverrideServerName(string) error { return nil }
