// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/policy"
	"github.com/burin-labs/nomad-driver-harn/sandbox"
)

// Reader reads Nomad's files.
type Reader interface {
	// Job reads a task of a job file: the one of this name, or its only one of the
	// driver. settings are the operator's, nil for the defaults. What at says is put
	// in the place of variables.
	Job(settings *sandbox.Settings, file, task string, at *Place) (*Job, error)
	// Settings reads the driver's plugin block in an agent's configuration.
	Settings(file string) (*sandbox.Settings, error)
	// Directories reads the agent's own directories and files in its configuration.
	Directories(file string) ([]sandbox.AgentPath, error)
}

// Place is where a task of a job will be.
type Place struct {
	// TaskDir is its directory, a real path; "" for one that is not known: then
	// its directories have the names that a policy gives them.
	TaskDir string
	// Env are variables that count more than the job's.
	Env map[string]string
	// Runs: it is going to run here.
	Runs bool
}

// In is a directory of the task.
func (p *Place) In(dir string) string { return filepath.Join(p.TaskDir, dir) }

// Job is what a job file says of a task.
type Job struct {
	Request *sandbox.Request
	User    string // "" if it names none
	// Env are the variables that the job sets, Nomads those of Nomad's that are known.
	Env, Nomads map[string]string
	// Unknown are the variables of the client that have no value here, as the job
	// writes them.
	Unknown []string
	// Expression is the first in the policy whose value alone is known, with its line; "" if
	// there is none.
	Expression string
	// MemoryMB and MemoryMaxMB are in MiB, CPU in MHz; 0 if the file does not say.
	MemoryMB, MemoryMaxMB int64
	CPU, Cores            int
	// Network is the mode of the group's network; "" for the host's.
	Network string
	// DNS: the group's network has a dns block.
	DNS    bool
	Mounts []VolumeMount
	// Templates are files that Nomad writes, Artifacts where it puts what it fetches:
	// relative to the task directory.
	Templates []Template
	Artifacts []string
}

// Template is a template block.
type Template struct {
	Path, Text string
	Mode       os.FileMode
}

// VolumeMount is a volume_mount block.
type VolumeMount struct {
	Volume, Destination string
	ReadOnly            bool
	PropagationMode     string
}

// request is what a task asks for.
type request struct {
	config *sandbox.Request
	job    *Job     // nil for a policy alone
	notes  []string // on what a policy file says and no kernel enforces
}

// source is a file with a policy.
type source struct {
	file  string
	isJob bool
}

// fileSource is the one that is named of two files.
func fileSource(job, policyFile string) source {
	if job != "" {
		return source{job, true}
	}
	return source{policyFile, false}
}

// standardInput is the name of what is read by the name "-".
const standardInput = "stdin"

// ReadFile reads a file that the command line names, or by the name "-" the standard
// input, once. name is for people.
func (s *Streams) ReadFile(file string) (data []byte, name string, err error) {
	if file != "-" {
		data, err = os.ReadFile(file)
		return data, file, err
	}
	in, err := s.Input()
	if err != nil {
		return nil, standardInput, err
	}
	if data, err = io.ReadAll(in); err != nil {
		err = fmt.Errorf("%s: %w", standardInput, err)
	}
	return data, standardInput, err
}

// Input is the standard input, for the first who reads it.
func (s *Streams) Input() (io.Reader, error) {
	if s.read {
		return nil, errors.New("-: the standard input can be read once")
	}
	s.read = true
	return s.Stdin, nil
}

// policyRequest asks for a policy alone, which is in JSON.
func policyRequest(data []byte) (*request, error) {
	p, notes, err := policy.DecodeJSON(data)
	if err == nil {
		err = p.Validate()
	}
	if err != nil {
		return nil, err
	}
	return &request{config: &sandbox.Request{Policy: p}, notes: notes}, nil
}

// readRequest reads the configuration of a task, of a job or with a policy
// alone. operator is the plugin's configuration, nil for the default one.
func (s *Streams) readRequest(operator *sandbox.Settings, from source, task string, at *Place) (*request, error) {
	if from.isJob {
		job, err := s.Reader.Job(operator, from.file, task, at)
		if err != nil {
			return nil, err
		}
		return &request{config: job.Request, job: job}, nil
	}
	data, name, err := s.ReadFile(from.file)
	if err != nil {
		return nil, err
	}
	r, err := policyRequest(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", plain.Name(name), err)
	}
	return r, nil
}

// describe fills in what the job says of its task.
func (r *request) describe(f *sandbox.Placement) {
	if r.job != nil {
		f.User, f.MemoryMB, f.MemoryMaxMB = r.job.User, r.job.MemoryMB, r.job.MemoryMaxMB
		f.Path, f.Local = r.job.Env["PATH"], r.job.Env["NOMAD_TASK_DIR"]
		f.OwnNetwork, f.DNS = r.ownNetwork(), r.job.DNS
		f.Unseen = []string{filepath.Join(f.TaskDir, "alloc")} // where other tasks put what they make
		for _, dir := range r.job.Artifacts {
			f.Unseen = append(f.Unseen, filepath.Join(f.TaskDir, dir))
		}
		for _, mount := range r.job.Mounts {
			at := mount.Destination
			if !filepath.IsAbs(at) {
				at = filepath.Join(f.TaskDir, at)
			}
			f.Unseen = append(f.Unseen, filepath.Clean(at))
			f.Volumes = append(f.Volumes, sandbox.Mount{TaskPath: mount.Destination, ReadOnly: mount.ReadOnly, PropagationMode: mount.PropagationMode})
		}
	}
}

// taskDirs are the directories that Nomad makes in a task's.
var taskDirs = []string{"local", "secrets", "tmp", "alloc/data", "alloc/logs", "alloc/tmp"}

// makeTaskDir makes a directory that stands for a task's, with the files that the job
// has in itself.
func (r *request) makeTaskDir(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, name := range taskDirs {
		if err := root.MkdirAll(name, 0o755); err != nil {
			return err
		}
	}
	if r.job == nil {
		return nil
	}
	for _, t := range r.job.Templates {
		if !filepath.IsLocal(t.Path) || root.MkdirAll(filepath.Dir(t.Path), 0o755) != nil {
			continue // Nomad says what is wrong with it
		}
		if err := root.WriteFile(t.Path, []byte(t.Text), 0o600); err != nil {
			return err
		}
		if err := root.Chmod(t.Path, t.Mode); err != nil {
			return err
		}
	}
	return nil
}

// limits are those of the job's resources that are not the driver's.
func (r *request) limits() []string {
	lines := []string{}
	if r.job == nil {
		return lines
	}
	if r.job.CPU > 0 {
		lines = append(lines, fmt.Sprintf("cpu: %d MHz", r.job.CPU))
	}
	if r.job.Cores > 0 {
		lines = append(lines, fmt.Sprintf("cores: %d of the task's own", r.job.Cores))
	}
	return lines
}

// network is whose network a task has that may use one.
func (r *request) network() string {
	if r.ownNetwork() {
		return "the group's, mode " + r.job.Network
	}
	return "the host's"
}

// ownNetwork reports whether the group's network is a namespace of its allocation.
func (r *request) ownNetwork() bool {
	return r.job != nil && r.job.Network != "" && r.job.Network != "host"
}

// volumes are what the job mounts. What is in them is known on a node alone.
func (r *request) volumes(found *sandbox.Explanation) (files []FileAccess) {
	if r.job == nil {
		return nil
	}
	for _, mount := range r.job.Mounts {
		access, in := found.Workspace, found.VolumesIn
		if mount.ReadOnly {
			access, in = policy.ReadAccess, found.ReadOnlyVolumesIn
		}
		why := "volume_mount"
		if mount.Volume != "" {
			why += " of " + mount.Volume
		}
		if in != "" {
			why += ", if its source is in the operator's ceiling (" + in + ")"
		}
		files = append(files, FileAccess{Path: mount.Destination, Access: letters(access), Rights: access.String(), Why: []string{why}})
	}
	return files
}

// sharing are notes on the volumes that a dynamic user writes.
func (r *request) sharing(found *sandbox.Explanation) (notes []string) {
	if r.job == nil || r.job.User != "" || found.Workspace&^policy.ReadAccess == 0 {
		return nil
	}
	for _, mount := range r.job.Mounts {
		if mount.Destination != "" && !mount.ReadOnly {
			notes = append(notes, sandbox.SharingNote(mount.Destination))
		}
	}
	return notes
}

// Operator reads the operator's settings in an agent's configuration: nil
// without a file, for the defaults.
func (s *Streams) Operator(file string) (*sandbox.Settings, error) {
	if file == "" {
		return nil, nil
	}
	return s.Reader.Settings(file)
}

// Policy is what a task of a job file asks for, or else what is in a JSON file. The
// variables that have no value before the task is placed are as they are written.
func (s *Streams) Policy(operator *sandbox.Settings, job, policyFile, task string) (p *policy.Policy, said *Job, err error) {
	r, err := s.readRequest(operator, fileSource(job, policyFile), task, &Place{})
	if err != nil {
		return nil, nil, err
	}
	if said = r.job; said == nil {
		said = &Job{}
	}
	return r.config.Policy, said, nil
}

// unknown are the variables of a job that have no value here.
func (r *request) unknown() []string {
	if r.job == nil {
		return nil
	}
	return r.job.Unknown
}
