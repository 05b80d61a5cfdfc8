// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/plain"
)

// instructions are what a supervisor reads first: a plan, without its filter, that
// filter and its own as they were compiled, and the descriptors that it inherits.
type instructions struct {
	Plan
	ID        string    `json:"id"`
	Filters   filters   `json:"filters"`
	Inherited inherited `json:"inherited"`
}

// instruct makes a supervisor's instructions.
func instruct(id string, plan *Plan, inherited inherited) ([]byte, error) {
	in := instructions{Plan: *plan, ID: id, Inherited: inherited}
	logs := noLogs
	if plan.Logs != nil {
		logs = stdoutFD
	}
	var err error
	if in.Filters, err = compileFor(&plan.Confinement, plan.Isolation.HostPID, logs); err != nil {
		return nil, err
	}
	in.Confinement.Filter = nil
	return message(in)
}

// inherited are descriptors that come with a supervisor's instructions, beside its fixed
// ones: what it could not open itself, in the mount namespace that it is started
// in. On the way they are numbered as they are passed. [notOpen] stands for none.
type inherited struct {
	// Sources are those of the mounts. It is nil if the supervisor was started
	// among the host's mounts, where it opens them itself.
	Sources *sources `json:"sources,omitempty"`
	// Network is the network namespace to join.
	Network int      `json:"network"`
	Cgroups *cgroups `json:"cgroups"`
	// Companions are the files of the plan's companions, in their order.
	Companions [][]int `json:"companions,omitempty"`
	// Passed is how many are passed in all, with the fixed ones and those that are only
	// held open.
	Passed int `json:"passed"`
}

// inheritable are what a supervisor is to inherit, as long as this process has it
// open.
type inheritable struct {
	sources *sources // nil if it opens them itself
	network int
	cgroups *cgroups
	plan    *Plan
}

// openInheritable opens what a supervisor is to inherit.
func openInheritable(plan *Plan) (*inheritable, error) {
	b := &inheritable{network: notOpen, plan: plan}
	if err := b.open(plan); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *inheritable) open(plan *Plan) (err error) {
	if b.cgroups, err = openCgroups(plan.Confinement.Cgroups); err != nil {
		return err
	}
	if b.network, err = openNetwork(plan.Isolation.Network); err != nil {
		return err
	}
	if plan.fromSpawner() {
		b.sources, err = openSources(plan.Isolation.Mounts, canMake)
	}
	return err
}

// fromSpawner reports whether the supervisor is started from the spawner. It is
// not if its task is to see the host's mounts, or if its mounts are to be its own
// user's, in a user namespace; nor where one start is all that there will be, or
// where there are not numbers enough for the sources.
func (p *Plan) fromSpawner() bool {
	sources := len(p.Held)
	for i := range p.Companions {
		sources += len(p.Companions[i].Files)
	}
	for i := range p.Isolation.Mounts {
		if p.Isolation.Mounts[i].hasSource() {
			sources++
		}
	}
	return p.Isolation.PrivateRoot && !p.Isolation.UserNamespace && !p.Foreground && sources <= mostSources
}

// mostSources leaves room for all else that comes with the instructions.
const mostSources = mostPassed - 40

// close closes all of it. It may be called again.
func (b *inheritable) close() {
	closeAll(b.network)
	if b.sources != nil {
		b.sources.close()
	}
	if b.cgroups != nil {
		b.cgroups.close()
	}
	*b = inheritable{network: notOpen, plan: b.plan}
}

// pass appends them to the files that are passed with the instructions, and returns
// which they are of these.
func (b *inheritable) pass(files []int) ([]int, inherited) {
	number := func(fd int) int {
		if fd < 0 {
			return fd
		}
		files = append(files, fd)
		return len(files) - 1
	}
	h := inherited{Network: number(b.network), Cgroups: b.cgroups.renumbered(number)}
	if b.sources != nil {
		h.Sources = b.sources.renumbered(number)
	}
	for i := range b.plan.Companions {
		var numbers []int
		for _, f := range b.plan.Companions[i].Files {
			numbers = append(numbers, number(int(f.Fd())))
		}
		h.Companions = append(h.Companions, numbers)
	}
	for _, f := range b.plan.Held { // that they are open is all that they are for
		number(int(f.Fd()))
	}
	h.Passed = len(files)
	return files, h
}

// received are the same with the numbers that the files have here.
func (h *inherited) received(files []int) (*inherited, error) {
	if len(files) != h.Passed {
		return nil, fmt.Errorf("%d descriptors came with it, expected %d", len(files), h.Passed)
	}
	var err error
	number := func(i int) int {
		if i < 0 {
			return i
		}
		if i >= len(files) {
			err = fmt.Errorf("file %d of %d is to be inherited", i, len(files))
			return notOpen
		}
		return files[i]
	}
	if h.Cgroups == nil {
		return nil, errors.New("no cgroups, expected a list of them")
	}
	other := &inherited{Passed: h.Passed, Network: number(h.Network), Cgroups: h.Cgroups.renumbered(number)}
	if h.Sources != nil {
		other.Sources = h.Sources.renumbered(number)
	}
	for _, companion := range h.Companions {
		var numbers []int
		for _, i := range companion {
			numbers = append(numbers, number(i))
		}
		other.Companions = append(other.Companions, numbers)
	}
	return other, err
}

// openNetwork opens a network namespace that is to be joined. A new, isolated
// one is made when the supervisor is started.
func openNetwork(n Network) (int, error) {
	if n.File != nil {
		return unix.FcntlInt(n.File.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	}
	if n.Isolated || n.Namespace == "" {
		return notOpen, nil
	}
	fd, err := unix.Open(n.Namespace, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return notOpen, fmt.Errorf("network namespace %s: %w: the allocation's network is gone, or was never made", plain.Name(n.Namespace), err)
	}
	return fd, nil
}
