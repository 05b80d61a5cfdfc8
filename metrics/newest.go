// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package metrics

import (
	"container/list"
	"net"
	"sync"
)

// newest is a listener that keeps its newest connections, most of them, and closes the
// oldest for another. It never waits for one to end.
func newest(l net.Listener, most int) net.Listener { return &recent{Listener: l, most: most} }

type recent struct {
	net.Listener
	most int

	lock sync.Mutex
	open list.List // of *connection, the oldest first
}

type connection struct {
	net.Conn
	closed func() error
}

func (c *connection) Close() error { return c.closed() }

func (l *recent) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &connection{Conn: conn}
	l.lock.Lock()
	var oldest *connection
	if l.open.Len() == l.most {
		oldest = l.open.Front().Value.(*connection)
	}
	at := l.open.PushBack(c)
	c.closed = sync.OnceValue(func() error {
		l.lock.Lock()
		l.open.Remove(at)
		l.lock.Unlock()
		return conn.Close()
	})
	l.lock.Unlock()
	if oldest != nil {
		_ = oldest.Close()
	}
	return c, nil
}
