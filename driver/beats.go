// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"sync"
	"time"
)

// beats take the samples of all subscribers with the same interval at the same
// moment. An idle plugin wakes up once then, instead of once for each of them,
// and gRPC writes their reports together: that is most of what stats cost.
type beats struct {
	lock       sync.Mutex
	byInterval map[time.Duration]*beat
}

// beat lasts as long as it has samples to take.
type beat struct {
	samples map[*sample]struct{}
	next    time.Time
}

// sample is what a subscriber waits for.
type sample struct {
	of     *taskHandle
	maxAge time.Duration // of a reading for another subscriber
	// taken has room for one reading. Who does not take it misses the next ones.
	taken chan *usage
}

// until is the time until the next beat.
func (b *beats) until(interval time.Duration) time.Duration {
	b.lock.Lock()
	defer b.lock.Unlock()
	if beat := b.byInterval[interval]; beat != nil {
		return time.Until(beat.next)
	}
	return interval
}

// join takes a sample at every beat, until the function that it returns is
// called.
func (b *beats) join(interval time.Duration, s *sample) (leave func()) {
	b.lock.Lock()
	defer b.lock.Unlock()
	at := b.byInterval[interval]
	if at == nil {
		at = &beat{samples: map[*sample]struct{}{}, next: time.Now().Add(interval)}
		if b.byInterval == nil {
			b.byInterval = map[time.Duration]*beat{}
		}
		b.byInterval[interval] = at
		go b.run(interval, at)
	}
	at.samples[s] = struct{}{}
	return func() {
		b.lock.Lock()
		defer b.lock.Unlock()
		delete(at.samples, s)
	}
}

func (b *beats) run(interval time.Duration, at *beat) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	var due []*sample
	var readings []*usage
	for now := range ticker.C {
		due, readings = due[:0], readings[:0]
		b.lock.Lock()
		for s := range at.samples {
			due = append(due, s)
		}
		at.next = now.Add(interval)
		if len(due) == 0 {
			delete(b.byInterval, interval)
		}
		b.lock.Unlock()
		if len(due) == 0 {
			return
		}
		// All are read before the first is told, so that the reports are written
		// together.
		for _, s := range due {
			readings = append(readings, s.of.usage(s.maxAge))
		}
		for i, s := range due {
			select {
			case s.taken <- readings[i]:
			default: // it is slow, and must not hold up the others
			}
		}
		clear(due) // what has ended must not stay in memory
		clear(readings)
	}
}
