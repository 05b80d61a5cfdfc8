// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
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
	for _, name := range allDrivers {
		p, err := b.startDriver(name, filepath.Join(b.dir, "grpc-"+name))
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
		for _, name := range allDrivers {
			b.report.add("grpc", what, "ms", name, samples[what][name]...)
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

func (b *bench) startByAgent(n *node) error {
	for _, name := range allDrivers {
		j := job("start-"+name, name, command("/bin/true"), 1, true)
		j.ParameterizedJob = &api.ParameterizedJobConfig{Payload: "optional"}
		if err := n.register(j); err != nil {
			return err
		}
	}
	dispatched := map[string][]string{}
	const warmup = 1
	for range b.starts + warmup {
		for _, name := range allDrivers {
			r, _, err := n.Jobs().Dispatch("start-"+name, nil, nil, "", nil)
			if err != nil {
				return err
			}
			dispatched[name] = append(dispatched[name], r.DispatchedJobID)
			time.Sleep(pace)
		}
	}
	var overlaps int
	var last time.Time
	states := map[string][]*api.TaskState{}
	for i := range b.starts + warmup {
		for _, name := range allDrivers {
			all, err := n.allocations(dispatched[name][i], 1, dead)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			s := all[0].TaskStates["t"]
			if at(s, received).Before(last) {
				overlaps++
			}
			last = at(s, terminated)
			if i >= warmup {
				states[name] = append(states[name], s)
			}
		}
	}
	between := func(what, from, to string) {
		for _, name := range allDrivers {
			var samples []float64
			for _, s := range states[name] {
				samples = append(samples, milliseconds(at(s, to).Sub(at(s, from))))
			}
			b.report.add("start", what, "ms", name, samples...)
		}
	}
	between("through an agent: received to started", received, begun)
	between(agentStart, received, terminated)
	if limit := len(allDrivers) * b.starts / 20; overlaps > limit {
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
