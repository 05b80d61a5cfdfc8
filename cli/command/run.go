// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package command

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
	"github.com/burin-labs/nomad-driver-harn/sandbox"
)

// Exit statuses of a run whose command did not run, as those of env(1).
const (
	notRun        = 125
	notExecutable = 126
	notFound      = 127
)

func newRun(s *Streams) *Command {
	c := &Command{
		Streams:   s,
		Name:      "run",
		Arguments: "-- COMMAND [ARGUMENT ...]",
		Summary:   "Run a command under a policy, without Nomad",
		Description: "Runs a command under a policy as the driver would run it as a task, to try the policy. The task directory is the current " +
			"directory: the command starts in it, relative roots join it, and it is the workspace if the policy names none. If it names some, the directory shows these alone, " +
			"and what else is made in it is gone afterwards. /tmp is empty, and gone afterwards. " +
			"The command has the standard input, output and error, and gets the signals of who runs it; those of them that are a terminal become a new one, of which the task's " +
			"/dev/pts has no name (ttyname(3) finds none). Of the environment it gets TERM and what -env names; with -job also what the job sets, and Nomad's variables as far as they are known.\n" +
			"Root is needed for a user of its own only: the command runs as -user, else as who called sudo, else as nobody. Without root, it " +
			"runs as you, in a user namespace; where there is none to have, Landlock and seccomp alone confine it, and a policy that needs more is refused. " +
			"What is not applied is said on stderr, a line each.",
		Examples: []Example{
			{"Try a policy on a program:", "run -policy p.json -- python3 agent.py"},
			{"Try one without a file:", "run -read_only_roots /opt -side_effect_level none -- bash"},
			{"Look around in the world of a job's task:", "run -job example/hardened.nomad.hcl -- bash"},
		},
		Statuses: []Status{
			{"0 to 255", "That of the command; 128 and the number of the signal, if one ended it."},
			{"125", "It was not run: the policy was refused, or the command line is wrong. The reason is on stderr."},
			{"126", "It was not run: it is there, but cannot be executed under the policy."},
			{"127", "It was not run: it was not found."},
		},
		Misuse: notRun,
		Flags:  flag.NewFlagSet("run", flag.ContinueOnError),
		Files: map[string]string{
			"job": "*.hcl", "policy": "*.json", "config": "*.hcl",
		},
	}
	r := &runner{Command: c, env: variables{}, options: newPolicyOptions(c.Flags)}
	c.Flags.StringVar(&r.job, "job", "", "Run a task of the job `file`: with its policy, options, user and environment; its command if there is no other.")
	c.Flags.StringVar(&r.task, "task", "", "Run the task of this `name`, if the job has several.")
	c.Flags.StringVar(&r.policyFile, "policy", "", "Read the policy from this JSON `file`.")
	c.Flags.StringVar(&r.config, "config", "", "Apply the plugin block in this Nomad agent configuration `file`: ceiling, default policy and the like.")
	c.Flags.StringVar(&r.user, "user", "", "Run as the user of this `name`. It takes root.")
	c.Flags.Var(r.env, "env", "Set a `variable`, NAME=VALUE, or pass the one called NAME on. Can be repeated.")
	c.Flags.BoolVar(&r.quiet, "quiet", false, "Do not say what is not applied.")
	c.Do = r.run
	return c
}

// runner is the command run with its options.
type runner struct {
	*Command
	job, task, policyFile, config, user string
	env                                 variables
	options                             *policyOptions
	quiet                               bool
}

// variables are those of an environment.
type variables map[string]string

// String implements flag.Value.
func (variables) String() string { return "" }

// Set implements flag.Value.
func (v variables) Set(text string) error {
	name, value, given := strings.Cut(text, "=")
	if name == "" || strings.ContainsRune(text, 0) {
		return errors.New("expected NAME=VALUE or NAME")
	}
	if !given {
		if value, given = os.LookupEnv(name); !given {
			return errors.New("it is not set here, expected NAME=VALUE")
		}
	}
	v[name] = value
	return nil
}

func (r *runner) run(args []string) (int, error) {
	files := r.job != "" || r.policyFile != ""
	if r.job != "" && r.policyFile != "" || files == !r.options.empty() {
		return 0, Usage("give either -job FILE, or -policy FILE, or options with the names of the policy's fields")
	}
	if len(args) == 0 && r.job == "" {
		return 0, Usage("give a command behind the options: -- COMMAND [ARGUMENT ...]")
	}
	operator, err := r.Operator(r.config)
	if err != nil {
		return notRun, err
	}
	taskDir, err := workingDirectory()
	if err != nil {
		return notRun, err
	}
	asked, err := r.read(operator, taskDir, args)
	if err != nil {
		return notRun, err
	}
	o := &sandbox.RunOptions{Settings: operator, User: r.user, Env: r.env, TaskDir: taskDir}
	node := policy.Node{}
	node.ABI, node.Absent = landlock.Detect()
	var noNamespaces error
	if o.Privilege, noNamespaces = privilege(); o.Privilege == sandbox.Root && o.User == "" {
		o.User = invokingUser()
	}
	if o.Private, err = privateDirectory(); err != nil {
		return notRun, err
	}
	defer func() {
		if err := os.RemoveAll(o.Private); err != nil { // by directories within directories, more than there may be open files
			fmt.Fprintln(r.Stderr, plain.Line(fmt.Sprintf("%s run: what the command has left in %s could not be removed: %v", Name, o.Private, err)))
		}
	}()

	o.Terminal = isTerminal(os.Stdin)
	if _, set := o.Env["TERM"]; !set && os.Getenv("TERM") != "" {
		o.Env["TERM"] = os.Getenv("TERM")
	}
	prepared, err := sandbox.PrepareRun(asked.config, node, o)
	var command *sandbox.CommandError
	switch {
	case errors.As(err, &command) && errors.Is(err, fs.ErrNotExist):
		return notFound, err
	case command != nil:
		return notExecutable, err
	case err != nil:
		return notRun, err
	}
	if !r.quiet {
		r.remark(prepared, noNamespaces, asked.unknown())
	}
	prepared.Denied = func(message string) { fmt.Fprintln(r.Stderr, plain.Line(Name+" run: "+message)) }
	exit, err := runInForeground(prepared)
	if err != nil {
		return notRun, err
	}
	return exit.Code, nil
}

// read returns the task. Words behind the options take the place of its
// command.
func (r *runner) read(operator *sandbox.Settings, taskDir string, args []string) (*request, error) {
	asked, err := r.asked(operator, taskDir)
	if err != nil {
		return nil, err
	}
	if task := asked.job; task != nil {
		for _, env := range []map[string]string{task.Env, task.Nomads} {
			for name, value := range env {
				if _, set := r.env[name]; !set {
					r.env[name] = value
				}
			}
		}
		if r.user == "" && os.Geteuid() == 0 {
			r.user = task.User
		}
	}
	if len(args) > 0 {
		asked.config.Command, asked.config.Args = args[0], args[1:]
	}
	return asked, nil
}

func (r *runner) asked(operator *sandbox.Settings, taskDir string) (*request, error) {
	if !r.options.empty() {
		return r.options.request()
	}
	return r.readRequest(operator, fileSource(r.job, r.policyFile), r.task, &Place{TaskDir: taskDir, Env: maps.Clone(r.env), Runs: true})
}

// privilege is what this process may do. The error says why there are no user
// namespaces.
func privilege() (sandbox.Privilege, error) {
	if os.Geteuid() == 0 {
		return sandbox.Root, nil
	}
	if err := executor.ProbeUserNamespace(); err != nil {
		return sandbox.Unprivileged, err
	}
	return sandbox.UserNamespace, nil
}

// invokingUser is who called sudo(8), "" if nobody or root did.
func invokingUser() string {
	if uid := os.Getenv("SUDO_UID"); uid == "" || uid == "0" {
		return ""
	}
	return os.Getenv("SUDO_USER")
}

func workingDirectory() (string, error) {
	dir, err := os.Getwd()
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return "", fmt.Errorf("the current directory: %w", err)
	}
	return dir, nil
}

// privateDirectory makes a directory that nobody else can look into.
func privateDirectory() (string, error) {
	dir, err := os.MkdirTemp("", "harn-run-")
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return "", fmt.Errorf("making a temporary directory (TMPDIR says where): %w", err)
	}
	return dir, nil
}

// remark says what the command is not confined by.
func (r *runner) remark(prepared *sandbox.Run, noNamespaces error, unknown []string) {
	line := func(format string, args ...any) {
		fmt.Fprintln(r.Stderr, plain.Line(Name+" run: "+fmt.Sprintf(format, args...)))
	}
	if prepared.Policy.Warning != "" {
		line("warning: %s", prepared.Policy.Warning)
	}
	for _, what := range prepared.NotApplied {
		line("not applied: %s", what)
	}
	if noNamespaces != nil {
		line("why there are no user namespaces: %v", noNamespaces)
	}
	for _, note := range prepared.Policy.Notes {
		line("note: %s", note)
	}
	if len(unknown) > 0 {
		line("note: these have a value on a node only, and are as they are written (-env NAME=VALUE gives them one): %s", strings.Join(unknown, " "))
	}
}
