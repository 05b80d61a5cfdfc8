// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package egress

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strconv"

	"github.com/burin-labs/nomad-driver-harn/egress/forward"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
)

// Event is what a forwarder has seen. Its names are a task's to choose.
type Event struct{ forward.Event }

// Denied reports whether the rules have denied it.
func (e *Event) Denied() bool { return !e.Failed && !e.Connected }

// Host is the name, or the address if there was none.
func (e *Event) Host() string {
	if e.Name != "" {
		return e.Name
	}
	return e.Address
}

// String says what has happened, in one line.
func (e *Event) String() string {
	to := plain.Name(e.Host())
	if e.Port != 0 {
		to = plain.Name(net.JoinHostPort(e.Host(), strconv.Itoa(int(e.Port))))
	}
	verb := "denied egress to "
	switch {
	case e.Failed && e.Host() == "":
		return plain.Line(e.Reason)
	case e.Failed:
		verb = "could not connect to "
	case e.Connected:
		verb = "connected to "
	}
	s := verb + to
	if e.Reason != "" {
		s += ": " + plain.Line(e.Reason)
	}
	return s
}

// ReadEvents reads events until their end, and passes over what is none, however long.
func ReadEvents(r io.Reader, do func(*Event)) {
	const longest = 64 << 10
	lines := bufio.NewReaderSize(r, longest)
	for within := false; ; {
		line, err := lines.ReadSlice('\n')
		tooLong := errors.Is(err, bufio.ErrBufferFull)
		if !within && !tooLong {
			var e Event
			if json.Unmarshal(line, &e.Event) == nil {
				do(&e)
			}
		}
		if within = tooLong; err != nil && !tooLong {
			return
		}
	}
}
