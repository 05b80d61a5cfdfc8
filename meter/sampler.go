// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package meter

import (
	"sync"
	"time"
)

// Sampler takes the samples of all subscribers with the same interval at the same
// moment. An idle process wakes up once then, instead of once for each of them,
// and writes their reports together: that is most of what statistics cost. The zero
// value is ready.
type Sampler struct {
	lock       sync.Mutex
	byInterval map[time.Duration]*schedule
}

// schedule lasts as long as it has samples to take.
type schedule struct {
	subscriptions map[*subscription]struct{}
	next          time.Time
}

// subscription is what a subscriber waits for.
type subscription struct {
	meter  *Meter
	maxAge time.Duration
	// samples has room for one. A slow receiver misses the next ones.
	samples chan *Usage
}

// Until is the time until the next sample at an interval.
func (s *Sampler) Until(interval time.Duration) time.Duration {
	s.lock.Lock()
	defer s.lock.Unlock()
	if at := s.byInterval[interval]; at != nil {
		return time.Until(at.next)
	}
	return interval
}

// Subscribe samples a meter at every interval, until the function that it returns
// is called. A sample may have been read for another subscriber, at most maxAge ago.
func (s *Sampler) Subscribe(m *Meter, interval, maxAge time.Duration) (samples <-chan *Usage, cancel func()) {
	s.lock.Lock()
	defer s.lock.Unlock()
	at := s.byInterval[interval]
	if at == nil {
		at = &schedule{subscriptions: map[*subscription]struct{}{}, next: time.Now().Add(interval)}
		if s.byInterval == nil {
			s.byInterval = map[time.Duration]*schedule{}
		}
		s.byInterval[interval] = at
		go s.run(interval, at)
	}
	sub := &subscription{meter: m, maxAge: maxAge, samples: make(chan *Usage, 1)}
	at.subscriptions[sub] = struct{}{}
	return sub.samples, func() {
		s.lock.Lock()
		defer s.lock.Unlock()
		delete(at.subscriptions, sub)
	}
}

func (s *Sampler) run(interval time.Duration, at *schedule) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	var due []*subscription
	var readings []*Usage
	for now := range ticker.C {
		due, readings = due[:0], readings[:0]
		s.lock.Lock()
		for sub := range at.subscriptions {
			due = append(due, sub)
		}
		at.next = now.Add(interval)
		if len(due) == 0 {
			delete(s.byInterval, interval)
		}
		s.lock.Unlock()
		if len(due) == 0 {
			return
		}
		// All are read before the first is sent, so that the reports are written
		// together.
		for _, sub := range due {
			readings = append(readings, sub.meter.Read(sub.maxAge))
		}
		for i, sub := range due {
			select {
			case sub.samples <- readings[i]:
			default: // it is slow, and must not hold up the others
			}
		}
		clear(due) // what has ended must not stay in memory
		clear(readings)
	}
}
