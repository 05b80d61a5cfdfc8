// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package command

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
	"github.com/burin-labs/nomad-driver-harn/sandbox"
)

func newExplain(s *Streams) *Command {
	c := &Command{
		Streams: s,
		Name:    "explain",
		Summary: "Show what a task will be able to do",
		Description: "Shows what a task will be able to do on this host, as the driver decides it: " +
			"files and why they can be reached, network, system calls, namespaces, user, limits, and what this kernel cannot enforce.\n" +
			"The policy comes from a job file, read by Nomad's own parser, from a JSON file as Harn writes it, or from options that have the names of " +
			"the policy's fields. Of two files, the difference is shown: what the second takes away (-) and adds (+). /TASK stands " +
			"for the task's directory. Variables have the values that Nomad's client gives them; those that only a node knows stay as they are written, and are listed; a number or a rule with one is left out. The command, the directory that it starts in, roots and the user are looked up here: what is missing is listed, " +
			"since on a node like this the task would be refused. What an artifact, a volume or another task brings is not looked up.",
		Examples: []Example{
			{"What the task of a job may do:", "explain -job example/hardened.nomad.hcl"},
			{"The same on a node with Linux 6.1, whose operator has set a ceiling:", "explain -job example/hardened.nomad.hcl -abi 2 -config agent.hcl"},
			{"What a policy would mean:", "explain -read_only_roots /opt -side_effect_level read_only"},
			{"What a change of a job changes:", "explain -job old.nomad.hcl -job new.nomad.hcl"},
		},
		Statuses: []Status{{"0", "It was shown."}, {"1", "The task, of two the second one, would be refused: the reason is on stderr, or listed as missing."}, {"2", "The command line is wrong."}},
		Misuse:   2,
		Flags:    flag.NewFlagSet("explain", flag.ContinueOnError),
		Files:    map[string]string{"job": "*.hcl", "policy": "*.json", "config": "*.hcl"},
	}
	e := &explainer{Command: c, options: newPolicyOptions(c.Flags)}
	c.Flags.Func("job", "Read the job `file`, - for the standard input. Can be repeated, also with -policy: then the difference is shown.", e.source(true))
	c.Flags.Func("policy", "Read a policy from this JSON `file`, - for the standard input. Can be repeated.", e.source(false))
	c.Flags.StringVar(&e.task, "task", "", "Explain the task of this `name`, if the job has several.")
	c.Flags.StringVar(&e.config, "config", "", "Apply the plugin block in this Nomad agent configuration `file`: ceiling, default policy and the like.")
	c.Flags.IntVar(&e.abi, "abi", -1, "Explain for a kernel with the Landlock ABI `n`; this kernel's by default.")
	asJSON := c.Flags.Bool("json", false, "Print a JSON object.")
	c.Do = func(args []string) (int, error) {
		if len(args) > 0 || len(e.sources) > 2 || (len(e.sources) == 0) == e.options.empty() {
			return 0, Usage("give -job FILE, or -policy FILE, or two of them, or options with the names of the policy's fields, and nothing else")
		}
		explanations, err := e.explainAll()
		switch {
		case err != nil:
			return 1, err
		case len(explanations) == 2:
			d := difference(explanations[0].parts(), explanations[1].parts())
			if *asJSON {
				err = c.PrintJSON(d)
			} else {
				d.print(c)
			}
		case *asJSON:
			err = c.PrintJSON(explanations[0])
		default:
			explanations[0].print(c)
		}
		if last := explanations[len(explanations)-1]; len(last.Missing) > 0 {
			return 1, err // and said under Missing
		}
		return 0, err
	}
	return c
}

// explainer is the command explain with its options.
type explainer struct {
	*Command
	sources      []source
	options      *policyOptions
	task, config string
	abi          int
}

func (e *explainer) source(isJob bool) func(string) error {
	return func(file string) error {
		e.sources = append(e.sources, source{file, isJob})
		return nil
	}
}

func (e *explainer) explainAll() ([]*Explanation, error) {
	operator, err := e.Operator(e.config)
	if err != nil {
		return nil, err
	}
	var agent []sandbox.AgentPath
	if e.config != "" {
		if agent, err = e.Reader.Directories(e.config); err != nil {
			return nil, err
		}
	}
	var all []*Explanation
	for _, from := range e.sources {
		found, err := explain(operator, agent, e.abi, func(at *Place) (*request, error) { return e.readRequest(operator, from, e.task, at) })
		if err != nil {
			if len(e.sources) > 1 && !strings.Contains(err.Error(), plain.Name(from.file)) {
				err = fmt.Errorf("%s: %w", plain.Name(from.file), err)
			}
			return nil, err
		}
		all = append(all, found)
	}
	if len(e.sources) == 0 {
		found, err := explain(operator, agent, e.abi, func(*Place) (*request, error) { return e.options.request() })
		if err != nil {
			return nil, err
		}
		all = append(all, found)
	}
	return all, nil
}

// What stands for directories that Nomad would make, in what is shown.
const (
	taskPlace   = "/TASK"
	cgroupPlace = "/sys/fs/cgroup/TASK"
)

// explain plans the task that is read, in a directory of its own that is gone
// afterwards.
func explain(operator *sandbox.Settings, agent []sandbox.AgentPath, abi int, read func(*Place) (*request, error)) (*Explanation, error) {
	f := &sandbox.Placement{Settings: operator, Agent: agent, Cgroup: cgroupPlace, Node: policy.Node{ABI: landlock.ABI(abi)}}
	if abi < 0 {
		f.Node.ABI, f.Node.Absent = landlock.Detect()
	}
	clients, err := standIn()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(clients)
	f.TaskDir = clients + "/task"
	names := strings.NewReplacer(f.TaskDir, taskPlace, clients, "(other allocations)")
	r, err := read(&Place{TaskDir: f.TaskDir})
	if err != nil {
		return nil, fmt.Errorf("%s", names.Replace(err.Error()))
	}
	r.describe(f)
	if err := r.makeTaskDir(f.TaskDir); err != nil {
		return nil, err
	}
	found, err := sandbox.Explain(r.config, f)
	if err != nil {
		return nil, fmt.Errorf("%s", names.Replace(err.Error()))
	}
	return newExplanation(found, r, names), nil
}

// standIn makes a directory that stands for that of Nomad's allocations. In /tmp and
// /var/tmp, of which tasks have private ones, it would be another case than theirs: so
// it is there only for those who can write nowhere else.
func standIn() (string, error) {
	dir, err := os.MkdirTemp("/var/lib", "harn-explain-")
	if err != nil {
		dir, err = os.MkdirTemp("/var/tmp", "harn-explain-")
	}
	if err != nil {
		return "", err
	}
	return policy.RealPath(dir)
}
