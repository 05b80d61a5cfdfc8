// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Command bench measures the driver against Nomad's own, and against one that
// does the least that a driver can do, on this machine: "make bench". Everything
// that is compared is measured in the same run, in turns, so that what else the
// machine does meanwhile hits all of it.
//
// It runs in namespaces of its own and leaves nothing behind, also if it is
// interrupted. A part that
// fails is reported, and the others go on.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

func main() {
	switch {
	case filepath.Base(os.Args[0]) == floorProgram:
		serveFloor(os.Args[1:])
		return
	case len(os.Args) == 3 && os.Args[1] == peerCommand:
		servePeer(os.Args[2])
		return
	}
	kerneltest.Isolate()
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// A part measures one thing. What it has measured before it fails stays in the
// report.
type part struct {
	name, about string
	run         func(*bench) error
}

var parts = []part{
	{"grpc", "one task at a time, through the driver's gRPC alone", (*bench).startByGRPC},
	{"start", "one task at a time, through an agent", func(b *bench) error { return b.withCluster(in("start"), b.startByAgent) }},
	{"throughput", "a job of many short tasks", (*bench).throughput},
	{"memory", "memory and CPU of many sleeping tasks", (*bench).memory},
	{workPart, "what the confinement costs the program in it", (*bench).work},
	{runPart, "the command run, in pairs with bubblewrap", (*bench).commandLine},
	{"egress", "tasks with hosts by name, in turns with the same ones without", (*bench).egress},
	{"scale", "start, stop, recovery and memory as the number of tasks grows", (*bench).scale},
}

// counts are how often things are done.
type counts struct {
	starts      int // of each driver
	allocations int // of the job that measures throughput
	rounds      int // of jobs, and of confined work
	sleepers    int
	idle        time.Duration
	work        time.Duration // for each operation and round
	scale       []int         // numbers of tasks
	peerScale   int           // most tasks of another driver: its processes are large
}

var (
	full  = counts{200, 500, 2, 200, time.Minute, 100 * time.Millisecond, []int{100, 300, 1000}, 300}
	short = counts{5, 10, 1, 5, 2 * time.Second, 10 * time.Millisecond, []int{5, 10}, 5}
)

// bench is one run of this program.
type bench struct {
	counts
	bin    string // where "make" has put what it built
	dir    string // of this run
	report *report
}

func run(args []string) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	names := flags.String("run", "", "parts to run, separated by commas: "+partNames()+" (default all)")
	small := flags.Bool("short", false, "try it with small numbers, in a minute: what it prints says nothing")
	markdown := flags.Bool("markdown", false, "print tables for docs/measurements.md")
	bin := flags.String("bin", "../bin", "the directory of nomad and nomad-driver-harn")
	drivers := flags.String("drivers", strings.Join(driverNames(), ","), "drivers to measure; the first one is what the others are compared with")
	out := flags.String("out", "../bin/bench", "the directory for results.json and the plots")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("needs root, as a Nomad client does")
	}
	if err := keep(strings.Split(*drivers, ",")); err != nil {
		return err
	}
	b := &bench{counts: full, report: newReport()}
	if *small {
		b.counts, b.report.Short = short, true
	}
	for _, name := range strings.Split(*names, ",") {
		if name != "" && !slices.ContainsFunc(parts, func(p part) bool { return p.name == name }) {
			return fmt.Errorf("-run: %q is not a part, expected some of %s", name, partNames())
		}
	}
	var err error
	if b.bin, err = filepath.Abs(*bin); err != nil {
		return err
	}
	for _, name := range []string{"nomad", "nomad-driver-harn"} {
		if _, err := os.Stat(filepath.Join(b.bin, name)); err != nil {
			return fmt.Errorf("%w: run \"make build nomad\"", err)
		}
	}
	b.dir = kerneltest.Scratch()
	defer kerneltest.UnmountBeneath(b.dir)
	if err := os.Chmod(b.dir, 0o755); err != nil {
		return err
	}
	// Plugins that are killed leave their sockets there.
	if err := os.Setenv("TMPDIR", b.dir); err != nil {
		return err
	}
	for _, p := range parts {
		if *names != "" && !slices.Contains(strings.Split(*names, ","), p.name) {
			continue
		}
		began := time.Now()
		fmt.Fprintf(os.Stderr, "%s: %s\n", p.name, p.about)
		if err := guard(p, b); err != nil {
			b.report.Failures = append(b.report.Failures, fmt.Sprintf("%s: %v", p.name, err))
			fmt.Fprintf(os.Stderr, "%s failed: %v\n", p.name, err)
		}
		fmt.Fprintf(os.Stderr, "%s: %v\n", p.name, time.Since(began).Round(time.Second))
	}
	b.report.finish()
	if err := b.report.save(*out); err != nil {
		return err
	}
	b.report.print(os.Stdout, *markdown)
	if n := len(b.report.Failures); n > 0 {
		return fmt.Errorf("%d failures: %s", n, strings.Join(b.report.Failures, "; "))
	}
	return nil
}

// guard runs a part and makes an error of its panic.
func guard(p part, b *bench) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return p.run(b)
}

func partNames() string {
	var names []string
	for _, p := range parts {
		names = append(names, p.name)
	}
	return strings.Join(names, ",")
}
