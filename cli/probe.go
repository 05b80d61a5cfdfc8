// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/fatih/color"

	"github.com/burin-labs/nomad-driver-harn/audit"
	"github.com/burin-labs/nomad-driver-harn/cli/command"
	"github.com/burin-labs/nomad-driver-harn/egress"
	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/landlock"
)

// finding is what a host offers of one thing, and what to change if it does not.
type finding struct {
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	Value string `json:"value"`
	Hint  string `json:"hint,omitempty"`
	must  bool   // tasks cannot run without it
	spare bool   // without it, nothing less is enforced
}

// Exit statuses of probe.
const (
	usable   = 0
	degraded = 1
	unusable = 2
	misuse   = 3
)

func newProbe(s *command.Streams) *command.Command {
	c := &command.Command{
		Streams: s,
		Name:    "probe",
		Summary: "Show what this host can enforce",
		Description: "Shows what this host offers to confine tasks with. Landlock and seccomp are proved by a process that enters them " +
			"and must then be denied: files, truncation, TCP, ioctl, signals, abstract sockets and UDP, as far as the ABI has them, and a system call. User namespaces are proved by making one; the rest is looked up. What is missing comes with what to change.",
		Examples: []command.Example{{What: "In a script that prepares nodes:", Line: "probe -json"}},
		Statuses: []command.Status{
			{Code: "0", Meaning: "Everything is there."},
			{Code: "1", Meaning: "Tasks can run, but this kernel cannot enforce all that newer ones can."},
			{Code: "2", Meaning: "Tasks cannot run under the default configuration."},
			{Code: "3", Meaning: "The command line is wrong."},
		},
		Misuse: misuse,
		Flags:  flag.NewFlagSet("probe", flag.ContinueOnError),
	}
	asJSON := c.Flags.Bool("json", false, "Print a JSON array.")
	c.Do = func(args []string) (int, error) {
		if len(args) > 0 {
			return 0, command.Usage("unexpected argument %q", args[0])
		}
		proof, err := executor.Probe()
		if err != nil {
			return unusable, err
		}
		findings := find(proof)
		if *asJSON {
			err = c.PrintJSON(findings)
		} else {
			printFindings(c, findings)
		}
		return judge(findings), err
	}
	return c
}

func judge(findings []finding) int {
	status := usable
	for _, f := range findings {
		switch {
		case f.OK, f.spare:
		case f.must:
			return unusable
		default:
			status = degraded
		}
	}
	return status
}

func printFindings(c *command.Command, findings []finding) {
	width := 0
	for _, f := range findings {
		width = max(width, len(f.Name))
	}
	good, bad := color.New(color.FgGreen), color.New(color.FgRed)
	for _, f := range findings {
		mark := good.Sprint("yes")
		if !f.OK {
			mark = bad.Sprint("no ")
		}
		fmt.Fprintf(c.Stdout, "%s  %-*s  %s\n", mark, width, f.Name, plain.Line(f.Value))
		if f.Hint != "" {
			fmt.Fprintf(c.Stdout, "     %s\n", plain.Text(f.Hint))
		}
	}
}

// find looks at everything. proof is what a confined process has seen.
func find(proof executor.Proof) []finding {
	var all []finding
	add := func(name string, must, ok bool, value, hint string) {
		f := finding{Name: name, OK: ok, Value: value, must: must}
		if !ok {
			f.Hint = hint
		}
		all = append(all, f)
	}
	add("root", true, os.Geteuid() == 0, fmt.Sprintf("user %d", os.Geteuid()), "run the Nomad client, and this command, as root")
	add("Landlock", true, proof.ABI > 0, fmt.Sprintf("ABI %d", proof.ABI), proof.Landlock)
	for _, feature := range landlock.Features[1:] {
		add("Landlock: "+feature.What, false, proof.ABI >= feature.Since, fmt.Sprintf("since ABI %d", feature.Since), "needs Linux "+feature.Linux)
	}
	add("seccomp filters", true, proof.Seccomp == "", "", proof.Seccomp)
	enabled := audit.Enabled()
	hint := ""
	if enabled != nil {
		hint = enabled.Error()
	}
	add("audit: denials are reported", false, enabled == nil, reported(proof.ABI), hint)
	all[len(all)-1].spare = true
	noEgress := egress.Works()
	add("egress: hosts by name", false, noEgress == nil, "", fmt.Sprint(noEgress))
	version, value := 1, "v1"
	if controllers, err := os.ReadFile("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		version, value = 2, "v2: "+strings.TrimSpace(string(controllers))
	}
	_, err := os.Stat("/sys/fs/cgroup/memory")
	add("cgroups", true, version == 2 || err == nil, value, "mount cgroup2 on /sys/fs/cgroup, as systemd does")
	for _, ns := range []string{"pid", "mnt", "ipc", "net"} {
		_, err := os.Stat("/proc/self/ns/" + ns)
		add("namespace: "+ns, true, err == nil, "", "the kernel is built without it: CONFIG_NAMESPACES and its options")
	}
	err = executor.ProbeUserNamespace()
	add("namespace: user", false, err == nil, "for the command run without root", fmt.Sprint(err))
	all[len(all)-1].spare = true
	return all
}

// reported are whose denials a kernel logs.
func reported(abi landlock.ABI) string {
	if abi.Rights().Flags&landlock.LogNewExecOn == 0 {
		return "seccomp's alone"
	}
	return "Landlock's and seccomp's"
}
