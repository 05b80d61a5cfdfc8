// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/nomad/api"
	"golang.org/x/sys/unix"
)

// Names of measures that targets are about.
const (
	agentStart   = "through an agent: received to terminated, /bin/true"
	grpcStart    = "through gRPC: StartTask called to returned"
	grpcFirst    = "through gRPC: StartTask called to the first instruction"
	grpcLifetime = "through gRPC: StartTask called to exit known, /bin/true"
)

// command is the config block of a program.
func command(path string, args ...string) map[string]any {
	return map[string]any{"command": path, "args": args}
}

// startByGRPC measures what is the driver's own part of a start.
func (b *bench) startByGRPC() error {
	stamp, err := b.compile("work.c")
	if err != nil {
		return err
	}
	var processes []*driverProcess
	for _, s := range in("grpc") {
		p, err := b.startDriver(s.driver, filepath.Join(b.dir, "grpc-"+s.driver))
		if err != nil {
			return err
		}
		defer p.stop()
		processes = append(processes, p)
	}
	samples := map[string]map[string][]float64{}
	const warmup = 2
	for i := range b.starts + warmup {
		// Each comes after each other one in turn.
		processes = append(processes[1:], processes[0])
		for _, p := range processes {
			took, err := p.timeStart(stamp)
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			for what, ms := range took {
				if samples[what] == nil {
					samples[what] = map[string][]float64{}
				}
				if i >= warmup {
					samples[what][p.name] = append(samples[what][p.name], ms)
				}
			}
		}
	}
	for _, what := range []string{grpcStart, grpcFirst, grpcLifetime} {
		for _, s := range in("grpc") {
			b.report.add("grpc", what, "ms", s.name, samples[what][s.driver]...)
		}
	}
	return nil
}

// settle is the time for the kernel to clear away what ended before.
const settle = 30 * time.Millisecond

// timeStart starts two tasks, in milliseconds: one that tells when its first
// instruction ran, and one that does nothing.
func (p *driverProcess) timeStart(stamp string) (map[string]float64, error) {
	took := map[string]float64{}
	t, err := p.prepare(command("local/work", "stamp"), true, stamp)
	if err != nil {
		return nil, err
	}
	defer t.destroy()
	time.Sleep(settle)
	called := monotonic()
	text, err := t.result()
	if err != nil {
		return nil, err
	}
	first, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("the task wrote %q: %w", text, err)
	}
	took[grpcFirst] = float64(first-called) / 1e6

	t, err = p.prepare(command("/bin/true"), false)
	if err != nil {
		return nil, err
	}
	defer t.destroy()
	time.Sleep(settle)
	began := time.Now()
	if err := t.start(); err != nil {
		return nil, err
	}
	took[grpcStart] = milliseconds(time.Since(began))
	if err := t.wait(); err != nil {
		return nil, err
	}
	took[grpcLifetime] = milliseconds(time.Since(began))
	return took, nil
}

func monotonic() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return t.Nano()
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// pace is the time between dispatches: a start is over well before the next
// one, but for the client's report of it, which is sent once a second.
const pace = 400 * time.Millisecond

func (b *bench) startByAgent(c *cluster) error {
	compared := in("start")
	for _, s := range compared {
		j := s.job("start-"+s.id(), command("/bin/true"), 1)
		j.ParameterizedJob = &api.ParameterizedJobConfig{Payload: "optional"}
		if err := c.register(j); err != nil {
			return err
		}
	}
	type dispatch struct {
		subject string
		job     string
	}
	var dispatched []dispatch
	const warmup = 1
	for range b.starts + warmup {
		// In another order each time: what the one before leaves to be done hits
		// all of them.
		for _, i := range rand.Perm(len(compared)) {
			s := compared[i]
			r, _, err := c.Jobs().Dispatch("start-"+s.id(), nil, nil, "", nil)
			if err != nil {
				return err
			}
			dispatched = append(dispatched, dispatch{s.name, r.DispatchedJobID})
			time.Sleep(pace)
		}
	}
	var overlaps int
	var last time.Time
	states := map[string][]*api.TaskState{}
	for i, d := range dispatched {
		all, err := c.allocations(d.job, 1, dead)
		if err != nil {
			return fmt.Errorf("%s: %w", d.subject, err)
		}
		t := all[0].TaskStates["t"]
		if at(t, received).Before(last) {
			overlaps++
		}
		last = at(t, terminated)
		if i >= warmup*len(compared) {
			states[d.subject] = append(states[d.subject], t)
		}
	}
	between := func(what, from, to string) {
		for _, s := range compared {
			var samples []float64
			for _, t := range states[s.name] {
				samples = append(samples, milliseconds(at(t, to).Sub(at(t, from))))
			}
			b.report.add("start", what, "ms", s.name, samples...)
		}
	}
	between("through an agent: received to started", received, begun)
	between(agentStart, received, terminated)
	if limit := len(dispatched) / 20; overlaps > limit && !b.report.Short {
		return fmt.Errorf("%d starts overlapped the one before, more than %d: the machine is too busy for them", overlaps, limit)
	}
	return nil
}

// compile builds one of this program's C files, as a static program.
func (b *bench) compile(source string) (string, error) {
	program := filepath.Join(b.dir, strings.TrimSuffix(source, ".c"))
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	text, err := sources.ReadFile("programs/" + source)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(program+".c", text, 0o644); err != nil {
		return "", err
	}
	return program, command1("gcc", "-O2", "-static", "-o", program, program+".c")
}
