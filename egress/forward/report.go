// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package forward

import (
	"encoding/json"
	"io"
	"sync"
	"time"
)

// Event is something that a forwarder has seen: a name or a connection that was
// refused, if neither Failed nor Connected is set. It is a line of JSON.
type Event struct {
	Time time.Time `json:"time"`
	// Name is what was asked for, or connected to by its synthetic address. A task
	// chooses it.
	Name string `json:"name,omitempty"`
	// Address is what the name was resolved to, or what was connected to without a name.
	Address string `json:"address,omitempty"`
	Port    uint16 `json:"port,omitempty"` // 0 for a name that was looked up
	Reason  string `json:"reason,omitempty"`
	// Failed: it was admitted, and could not be connected.
	Failed bool `json:"failed,omitempty"`
	// Connected: it was made. Open: it has just begun; another event tells of its end.
	Connected bool          `json:"connected,omitempty"`
	Open      bool          `json:"open,omitempty"`
	Sent      int64         `json:"sent,omitempty"`
	Received  int64         `json:"received,omitempty"`
	Duration  time.Duration `json:"duration,omitempty"`
	// Count is how often the same has happened since it was reported last.
	Count int `json:"count,omitempty"`
	// second: it is the second half of what another event tells of, or the first of two:
	// programs look up addresses of IPv4 and of IPv6.
	second bool
}

// reporter writes events: the first of a kind at once, before the task knows of it, and
// others like it at most once in a while. So a task that asks for the same, or for
// something else, in a loop does not flood who reads.
type reporter struct {
	to     io.Writer
	period time.Duration
	most   int // how many kinds are told in a period

	mutex   sync.Mutex
	seen    map[Event]*Event
	running bool
}

func newReporter(to io.Writer, period time.Duration, most int) *reporter {
	return &reporter{to: to, period: period, most: most, seen: map[Event]*Event{}}
}

// longestName is how much is told of a name.
const longestName = 253

func (r *reporter) add(e Event) {
	if len(e.Name) > longestName {
		e.Name = e.Name[:longestName]
	}
	key := Event{Name: e.Name, Address: e.Address, Port: e.Port, Reason: e.Reason, Failed: e.Failed}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if again := r.seen[key]; again != nil {
		switch {
		case e.second:
		case again.second:
			again.second = false
		default:
			again.Count++
		}
		return
	}
	if len(r.seen) >= r.most {
		return
	}
	e.Time, e.Count = time.Now(), 1
	writeLine(r.to, &e)
	e.Count = 0
	r.seen[key] = &e
	if !r.running {
		r.running = true
		time.AfterFunc(r.period, r.flush)
	}
}

// flush writes what has happened again since it was told.
func (r *reporter) flush() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for key, e := range r.seen {
		if e.Count == 0 {
			delete(r.seen, key)
			continue
		}
		e.Time = time.Now()
		writeLine(r.to, e)
		e.Count = 0
	}
	if r.running = len(r.seen) > 0; r.running {
		time.AfterFunc(r.period, r.flush)
	}
}

// writeLine writes an event, if somebody takes it: nothing waits for that.
func writeLine(to io.Writer, e *Event) {
	line, err := json.Marshal(e)
	if err == nil {
		_, _ = to.Write(append(line, '\n'))
	}
}

// connectionLog writes a line for each connection, up to a limit.
type connectionLog struct {
	to    io.Writer
	left  int64
	mutex sync.Mutex
}

func (l *connectionLog) add(e Event) {
	e.Time = time.Now()
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.left <= 0 {
		return
	}
	line, err := json.Marshal(&e)
	if err != nil {
		return
	}
	if l.left -= int64(len(line)) + 1; l.left <= 0 {
		line = []byte(`{"reason":"the log is full: what follows is not in it"}`)
	}
	_, _ = l.to.Write(append(line, '\n'))
}
