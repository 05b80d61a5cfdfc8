// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package forward

import (
	"errors"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// relay moves bytes between two connections, both ways, until both have ended, and
// closes them. The end of one direction is passed on alone, as shutdown(2) does; that
// either is reset resets the other one.
func relay(client, server *net.TCPConn) (sent, received int64) {
	var both sync.WaitGroup
	both.Go(func() { received = direction(client, server) })
	sent = direction(server, client)
	both.Wait()
	client.Close()
	server.Close()
	return sent, received
}

// direction moves what comes from one connection to the other.
func direction(to, from *net.TCPConn) int64 {
	moved, err := move(to, from)
	if err == nil {
		err = to.CloseWrite()
	}
	if err != nil {
		// Wakes the other direction, too.
		reset(to)
		reset(from)
	}
	return moved
}

// reset ends a connection as one whose program was killed.
func reset(conn *net.TCPConn) {
	_ = conn.SetLinger(0)
	conn.Close()
}

// mostAtOnce is how much is moved by one system call; a pipe holds less, in most cases.
const mostAtOnce = 1 << 20

// move moves bytes by splice(2): the kernel passes its buffers on, by way of a pipe, and
// nothing is copied. A connection has a pipe only while something is on its way.
func move(to, from *net.TCPConn) (moved int64, err error) {
	in, err := from.SyscallConn()
	if err != nil {
		return 0, err
	}
	out, err := to.SyscallConn()
	if err != nil {
		return 0, err
	}
	for {
		p, n, err := fill(in)
		if err != nil || n == 0 {
			return moved, err
		}
		err = drain(out, p, n)
		pipes.put(p, err == nil)
		if err != nil {
			return moved, err
		}
		moved += int64(n)
	}
}

const flags = unix.SPLICE_F_MOVE | unix.SPLICE_F_NONBLOCK

// fill waits for what is to be read, and reads it into a pipe.
func fill(in syscall.RawConn) (p *pipe, n int, err error) {
	waited := in.Read(func(fd uintptr) bool {
		if p, err = pipes.get(); err != nil {
			return true
		}
		n, err = splice(int(fd), p.w, mostAtOnce)
		if errors.Is(err, unix.EAGAIN) { // nothing is there: an empty pipe is never full
			pipes.put(p, true)
			p, err = nil, nil
			return false
		}
		return true
	})
	if err == nil {
		err = waited
	}
	if p != nil && (err != nil || n == 0) {
		pipes.put(p, true)
	}
	return p, n, err
}

// drain writes what a pipe holds.
func drain(out syscall.RawConn, p *pipe, n int) (err error) {
	for n > 0 && err == nil {
		waited := out.Write(func(fd uintptr) bool {
			var m int
			m, err = splice(p.r, int(fd), n)
			if errors.Is(err, unix.EAGAIN) {
				err = nil
				return false
			}
			n -= m
			return true
		})
		if err == nil {
			err = waited
		}
	}
	return err
}

func splice(from, to, most int) (int, error) {
	for {
		n, err := unix.Splice(from, nil, to, nil, most, flags)
		if !errors.Is(err, unix.EINTR) {
			return int(n), err
		}
	}
}

// pipe is a pipe with nothing in it, or what is on its way.
type pipe struct{ r, w int }

// pool keeps pipes for the next one that needs one.
type pool struct {
	mutex sync.Mutex
	free  []*pipe
}

// pipeSize is that of a pipe, in bytes.
const pipeSize = 512 << 10

// mostFree is how many pipes are kept.
const mostFree = 8

var pipes pool

func (p *pool) get() (*pipe, error) {
	p.mutex.Lock()
	if last := len(p.free) - 1; last >= 0 {
		one := p.free[last]
		p.free = p.free[:last]
		p.mutex.Unlock()
		return one, nil
	}
	p.mutex.Unlock()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, err
	}
	// A larger one takes fewer system calls. What the user may have is limited.
	_, _ = unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, pipeSize)
	return &pipe{fds[0], fds[1]}, nil
}

// put takes a pipe back, if nothing is left in it.
func (p *pool) put(one *pipe, empty bool) {
	p.mutex.Lock()
	if empty && len(p.free) < mostFree {
		p.free = append(p.free, one)
		p.mutex.Unlock()
		return
	}
	p.mutex.Unlock()
	unix.Close(one.r)
	unix.Close(one.w)
}
