// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
)

// unixPrefix begins an address that is the path of a socket.
const unixPrefix = "unix:"

// longestSocket is the longest path that fits into an address, unix(7).
const longestSocket = 107

// Address is where metrics are served.
type Address struct {
	// Socket is the path of a UNIX socket, "" for TCP.
	Socket string
	TCP    netip.AddrPort
}

// ParseAddress takes unix:/PATH, or an address of this machine alone and a port.
// Numbers of the driver are for who runs the node: no other address is admitted.
func ParseAddress(s string) (Address, error) {
	if path, ok := strings.CutPrefix(s, unixPrefix); ok {
		if !filepath.IsAbs(path) || filepath.Clean(path) != path || path == "/" || strings.ContainsRune(path, 0) {
			return Address{}, fmt.Errorf("%s: expected an absolute path after %s, without \".\" and \"..\", like unix:/run/nomad-driver-harn.sock", plain.Quote(s), unixPrefix)
		}
		if len(path) > longestSocket {
			return Address{}, fmt.Errorf("%s: the path has %d bytes, and that of a socket at most %d: choose a shorter one", plain.Quote(s), len(path), longestSocket)
		}
		return Address{Socket: path}, nil
	}
	const expected = "expected unix:/PATH, or a loopback address and a port, like 127.0.0.1:9746 or [::1]:9746"
	at, err := netip.ParseAddrPort(s)
	switch {
	case err != nil:
		return Address{}, fmt.Errorf("%s: %s", plain.Quote(s), expected)
	case !at.Addr().IsLoopback() || at.Addr().Zone() != "":
		return Address{}, fmt.Errorf("%s is no loopback address, and others than this machine could read from it: %s; to read from elsewhere, put a proxy with authentication before it", plain.Quote(s), expected)
	case at.Port() == 0:
		return Address{}, fmt.Errorf("%s: with port 0 nobody would know the port: %s", plain.Quote(s), expected)
	}
	return Address{TCP: at}, nil
}

func (a Address) String() string {
	if a.Socket != "" {
		return unixPrefix + a.Socket
	}
	return a.TCP.String()
}

// Limits of the server: some tasks can connect to a loopback port. A connection is for one
// request, and of more than maxConnections the oldest is closed: nobody who only holds
// connections keeps others from being served.
const (
	maxConnections = 64
	maxHeader      = 8 << 10
	writeTimeout   = 15 * time.Second
)

// readTimeout is how long a request may take to arrive.
var readTimeout = 5 * time.Second

// retryPeriod is the time between attempts to listen. A plugin process that is to end
// may hold the address still.
var retryPeriod = 5 * time.Second

// Log is what Serve has to say, for the operator.
type Log interface {
	Info(message string, args ...any)
	Warn(message string, args ...any)
}

// Serve serves the metrics at /metrics, until ctx ends. If the address is taken, it waits
// for it: what takes it may be an earlier process of the same plugin, whose tasks this
// one has taken over, and never is it ended for that.
func (m *Metrics) Serve(ctx context.Context, a Address, log Log) {
	warned := ""
	for {
		l, err := a.listen()
		if err == nil {
			log.Info("metrics are served", "address", a.String())
			if err = m.serve(ctx, l); ctx.Err() != nil {
				return
			}
		}
		if reason := err.Error(); reason != warned {
			warned = reason
			log.Warn("metrics are not served, and it is tried again", "address", a.String(), "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(retryPeriod):
		}
	}
}

func (m *Metrics) serve(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	server := &http.Server{
		Handler: mux, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: log.New(io.Discard, "", 0), // of what others send
	}
	server.SetKeepAlivesEnabled(false)
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	err := server.Serve(newest(l, maxConnections))
	l.Close()
	return err
}

func (a Address) listen() (net.Listener, error) {
	if a.Socket == "" {
		return net.Listen("tcp", a.TCP.String())
	}
	// In a directory that others can change, they could have the driver remove a file, or
	// serve numbers of their own.
	if err := executor.CheckStateDir(filepath.Dir(a.Socket)); err != nil {
		return nil, fmt.Errorf("the directory of the socket: %w: name a directory of root's, as /run", err)
	}
	lock, err := lockFor(a.Socket)
	if err != nil {
		return nil, err
	}
	if err := removeStale(a.Socket); err != nil {
		lock.Close()
		return nil, err
	}
	// The socket has its mode from the start, not only after it was made.
	config := net.ListenConfig{Control: func(_, _ string, conn syscall.RawConn) error {
		var err error
		if controlErr := conn.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) }); controlErr != nil {
			return controlErr
		}
		return err
	}}
	l, err := config.Listen(context.Background(), "unix", a.Socket)
	if err != nil {
		lock.Close()
		return nil, err
	}
	return &locked{l, lock}, nil
}

// locked is a listener that ends with its lock.
type locked struct {
	net.Listener
	lock *os.File
}

func (l *locked) Close() error {
	defer l.lock.Close()
	return l.Listener.Close()
}

// lockFor takes the lock of a socket, which the kernel gives back when this process
// ends, however it does. Of two processes that both find a socket stale, one would
// remove the other's new one.
func lockFor(socket string) (*os.File, error) {
	name := socket + ".lock"
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return f, nil
	}
	f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, errors.New("another process of the driver serves metrics there")
	}
	return nil, fmt.Errorf("locking %s: %w", plain.Name(name), err)
}

// removeStale removes the socket of a process that was killed, and nothing else.
func removeStale(socket string) error {
	info, err := os.Lstat(socket)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("%s is there, and is no socket: remove it, or choose another path", plain.Name(socket))
	}
	conn, err := net.Dial("unix", socket)
	if err == nil {
		conn.Close()
		return fmt.Errorf("another program listens at %s: end it, or choose another path", plain.Name(socket))
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return err
	}
	return os.Remove(socket)
}
