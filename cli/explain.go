// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/fatih/color"
	"github.com/hashicorp/nomad/api"
	"github.com/hashicorp/nomad/jobspec2"
	"github.com/posener/complete"

	"github.com/burin-labs/nomad-driver-harn/driver"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

func newExplain(s *streams) *command {
	c := &command{
		streams:  s,
		name:     "explain",
		synopsis: "Show what a task will be able to do",
		description: "Shows what a task will be able to do on this host, as the driver decides it with its default configuration: " +
			"files, network, system calls, and what this kernel cannot enforce.\n" +
			"The policy comes from a job file, read by Nomad's own parser, or from a JSON file as Harn writes it. /TASK stands " +
			"for the task's directory. Roots that do not exist here are reported: on a node like this, the task would be refused.",
		examples: []example{
			{"What the task of a job may do:", "explain -job example/hardened.nomad.hcl"},
			{"The same on a node with Linux 6.1:", "explain -job example/hardened.nomad.hcl -abi 2"},
		},
		statuses:   []status{{"0", "It was shown."}, {"1", "The task would be refused: the reason is on stderr."}, {"2", "The command line is wrong."}},
		misuse:     2,
		flags:      flag.NewFlagSet("explain", flag.ContinueOnError),
		predictors: complete.Flags{"job": complete.PredictFiles("*.hcl"), "policy": complete.PredictFiles("*.json")},
	}
	job := c.flags.String("job", "", "Read the job `file`.")
	task := c.flags.String("task", "", "Explain the task of this `name`, if the job has several.")
	policyFile := c.flags.String("policy", "", "Read a policy from this JSON `file`.")
	abi := c.flags.Int("abi", -1, "Explain for a kernel with the Landlock ABI `n`; this kernel's by default.")
	asJSON := c.flags.Bool("json", false, "Print a JSON object.")
	c.run = func(args []string) (int, error) {
		if len(args) > 0 || (*job == "") == (*policyFile == "") {
			return 0, usage("give either -job FILE or -policy FILE, and nothing else")
		}
		config, err := readTask(*job, *task, *policyFile)
		if err != nil {
			return 1, err
		}
		plan, missing, err := plan(config, *abi)
		if err != nil {
			return 1, err
		}
		if *asJSON {
			return 0, c.printJSON(newExplanation(plan, missing))
		}
		newExplanation(plan, missing).print(c)
		return 0, nil
	}
	return c
}

// readTask reads the configuration of a task, of a job or with a policy alone.
func readTask(job, task, policyFile string) (*driver.TaskConfig, error) {
	if policyFile != "" {
		data, err := os.ReadFile(policyFile)
		if err != nil {
			return nil, err
		}
		p, _, err := policy.DecodeJSON(data)
		if err == nil {
			err = p.Validate()
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", policyFile, err)
		}
		return &driver.TaskConfig{Policy: p}, nil
	}
	_, config, err := readJob(job, task)
	return config, err
}

// readJob reads a task of a job.
func readJob(job, task string) (*api.Task, *driver.TaskConfig, error) {
	text, err := os.ReadFile(job)
	if err != nil {
		return nil, nil, err
	}
	parsed, err := jobspec2.ParseWithConfig(&jobspec2.ParseConfig{Path: job, Body: text, AllowFS: true, Strict: true})
	if err != nil {
		return nil, nil, err
	}
	found, err := findTask(parsed, task)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", job, err)
	}
	config, err := driver.DecodeTask(found.Config)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: task %q: %w", job, found.Name, err)
	}
	return found, config, nil
}

// findTask returns the job's task of that name, or its only one of the driver.
func findTask(job *api.Job, name string) (*api.Task, error) {
	var found []*api.Task
	var names []string
	for _, group := range job.TaskGroups {
		for _, task := range group.Tasks {
			if task.Driver == driver.Name && (name == "" || name == task.Name) {
				found = append(found, task)
				names = append(names, task.Name)
			}
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0 && name != "":
		return nil, fmt.Errorf("no task %q with driver = %q", name, driver.Name)
	case len(found) == 0:
		return nil, fmt.Errorf("no task with driver = %q", driver.Name)
	}
	return nil, fmt.Errorf("several tasks have driver = %q: choose one by -task: %s", driver.Name, strings.Join(names, ", "))
}

// taskPlace is what stands for the task's directory in what is shown.
const taskPlace = "/TASK"

// plan plans the task, in a directory of its own that is gone afterwards.
func plan(config *driver.TaskConfig, abi int) (*policy.Plan, []string, error) {
	node := policy.Node{ABI: landlock.ABI(abi)}
	if abi < 0 {
		node.ABI, node.Absent = landlock.Detect()
	}
	dir, err := os.MkdirTemp("/var/tmp", "harn-explain-") // not in /tmp, of which tasks have a private one
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(dir)
	if dir, err = policy.RealPath(dir); err != nil {
		return nil, nil, err
	}
	plan, missing, err := driver.Explain(config, node, dir)
	if err != nil {
		return nil, nil, fmt.Errorf("%s", strings.ReplaceAll(err.Error(), dir, taskPlace))
	}
	if plan.Landlock != nil {
		for i := range plan.Landlock.Paths {
			rule := &plan.Landlock.Paths[i]
			if rest, ok := strings.CutPrefix(rule.Path, dir); ok {
				rule.Path = taskPlace + rest
			}
		}
	}
	return plan, missing, nil
}

// explanation is what is said of a plan.
type explanation struct {
	Profile     string           `json:"profile"`
	ABI         int              `json:"landlock_abi"`
	Files       []fileAccess     `json:"files"`
	AllFiles    bool             `json:"all_files"` // Landlock does not apply
	Network     string           `json:"network"`
	Syscalls    []deniedSyscalls `json:"denied_syscalls"`
	Warning     string           `json:"warning,omitempty"`
	NotEnforced []string         `json:"not_enforced_here"`
	Missing     []string         `json:"missing_roots"`
}

type fileAccess struct {
	Path   string `json:"path"`
	Access string `json:"access"` // of r, w and x
	Rights string `json:"rights"` // Landlock's names
}

type deniedSyscalls struct {
	Group string            `json:"group"`
	Calls map[string]string `json:"calls"` // and what a program could do with each
}

func newExplanation(plan *policy.Plan, missing []string) *explanation {
	e := &explanation{
		Profile: plan.Profile.String(), ABI: int(plan.ABI), AllFiles: plan.Landlock == nil,
		Files: []fileAccess{}, Syscalls: []deniedSyscalls{},
		Warning: plan.Warning, NotEnforced: append([]string{}, plan.Notes...), Missing: append([]string{}, missing...),
	}
	set := plan.Landlock
	switch {
	case !plan.Network:
		e.Network = "denied"
	case set != nil && set.HandledNet != 0:
		var ports []string
		for _, rule := range set.Ports {
			ports = append(ports, fmt.Sprintf("%d %v", rule.Port, rule.Access))
		}
		e.Network = "TCP only, to ports: " + strings.Join(ports, ", ")
	default:
		e.Network = "allowed"
	}
	if set != nil {
		for _, rule := range set.Paths {
			e.Files = append(e.Files, fileAccess{rule.Path, letters(rule.Access), rule.Access.String()})
		}
	}
	for _, group := range plan.Deny {
		denied := deniedSyscalls{Group: group.Name, Calls: map[string]string{}}
		for _, entry := range group.Entries {
			denied.Calls[entry.String()] = entry.Why
		}
		e.Syscalls = append(e.Syscalls, denied)
	}
	return e
}

// letters are the rights as ls(1) shows permissions.
func letters(access landlock.AccessFS) string {
	out := []byte("---")
	for i, right := range []landlock.AccessFS{landlock.ReadFile | landlock.ReadDir, landlock.WriteFile, landlock.Execute} {
		if access&right != 0 {
			out[i] = "rwx"[i]
		}
	}
	return string(out)
}

func (e *explanation) print(c *command) {
	bold, warn := color.New(color.Bold), color.New(color.FgYellow)
	line := func(format string, args ...any) { fmt.Fprintf(c.stdout, format+"\n", args...) }
	title := func(text string) { _, _ = bold.Fprintln(c.stdout, text) }
	title("Profile")
	line("  %s, Landlock ABI %d", e.Profile, e.ABI)
	title("Files")
	if e.AllFiles {
		line("  all, as far as file permissions go")
	} else {
		width := 0
		for _, f := range e.Files {
			width = max(width, len(f.Path))
		}
		for _, f := range e.Files {
			line("  %s  %-*s  %s", f.Access, width, f.Path, f.Rights)
		}
		line("  nothing else is there to be found")
	}
	title("Network")
	line("  %s", e.Network)
	title("System calls denied")
	for _, group := range e.Syscalls {
		var names []string
		for name := range group.Calls {
			names = append(names, name)
		}
		slices.Sort(names)
		line("  %s: %s", group.Group, strings.Join(names, " "))
	}
	if len(e.Syscalls) == 0 {
		line("  none")
	}
	if e.Warning != "" {
		_, _ = warn.Fprintf(c.stdout, "Warning: %s\n", e.Warning)
	}
	for _, note := range e.NotEnforced {
		_, _ = warn.Fprintf(c.stdout, "Note: %s\n", note)
	}
	for _, root := range e.Missing {
		_, _ = warn.Fprintf(c.stdout, "Missing here, so that the task would be refused: %s\n", root)
	}
}
