// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/armon/circbuf"
	"github.com/creack/pty"
	"github.com/hashicorp/nomad/plugins/drivers"

	"github.com/burin-labs/nomad-driver-harn/executor"
)

// ExecTask implements drivers.DriverPlugin: script checks, and templates'
// change_mode "script". Of the output the last CheckBufSize bytes are kept.
func (d *Driver) ExecTask(taskID string, cmd []string, timeout time.Duration) (*drivers.ExecTaskResult, error) {
	h, ok := d.tasks.get(taskID)
	if !ok {
		return nil, drivers.ErrTaskNotFound
	}
	ctx, cancel := context.WithTimeout(d.ctx, timeout)
	defer cancel()
	stdout, err := circbuf.NewBuffer(checkBufSize)
	if err != nil {
		return nil, err
	}
	stderr, err := circbuf.NewBuffer(checkBufSize)
	if err != nil {
		return nil, err
	}
	result, err := h.exec(ctx, &drivers.ExecOptions{
		Command: cmd,
		Stdin:   io.NopCloser(strings.NewReader("")),
		Stdout:  nopWriteCloser{stdout},
		Stderr:  nopWriteCloser{stderr},
	})
	if err != nil {
		return nil, err
	}
	return &drivers.ExecTaskResult{Stdout: stdout.Bytes(), Stderr: stderr.Bytes(), ExitResult: result}, nil
}

// checkBufSize is how many bytes of a script check's output are kept, as in
// Nomad (drivers.CheckBufSize).
const checkBufSize = drivers.CheckBufSize

type nopWriteCloser struct{ io.Writer }

func (nopWriteCloser) Close() error { return nil }

// ExecTaskStreaming implements drivers.ExecTaskStreamingDriver: nomad alloc
// exec.
func (d *Driver) ExecTaskStreaming(ctx context.Context, taskID string, opts *drivers.ExecOptions) (*drivers.ExitResult, error) {
	h, ok := d.tasks.get(taskID)
	if !ok {
		return nil, drivers.ErrTaskNotFound
	}
	return h.exec(ctx, opts)
}

// exec runs a command in the task, under the task's confinement, until it ends
// or ctx does.
func (h *taskHandle) exec(ctx context.Context, opts *drivers.ExecOptions) (*drivers.ExitResult, error) {
	process, err := h.process(opts)
	if err != nil {
		return nil, err
	}
	var streams streams
	if opts.Tty {
		streams, err = newTerminal(h.task)
	} else {
		streams, err = newPipes()
	}
	if err != nil {
		return nil, err
	}
	files := streams.command()
	session, err := h.task.Exec(process, files[0], files[1], files[2], opts.Tty)
	for _, f := range files {
		f.Close() // the command's alone from here on
	}
	if err != nil {
		streams.close()
		return nil, fmt.Errorf("%s: %w", opts.Command[0], err)
	}
	finished := make(chan struct{})
	defer close(finished)
	go func() {
		select {
		case <-ctx.Done():
			session.Kill()
		case <-finished:
		}
	}()
	copied := streams.copy(ctx, opts, finished)
	exit, err := session.Wait()
	// All output is read before the result is sent: it would be lost after.
	copied()
	streams.close()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%s: %w", opts.Command[0], ctx.Err())
	}
	if err != nil {
		return nil, err
	}
	return &drivers.ExitResult{ExitCode: exit.Code, Signal: exit.Signal}, nil
}

// process is the command with the task's own environment and working directory.
func (h *taskHandle) process(opts *drivers.ExecOptions) (executor.Process, error) {
	if len(opts.Command) == 0 || opts.Command[0] == "" {
		return executor.Process{}, errors.New("exec: no command, expected a program and its arguments")
	}
	for _, arg := range opts.Command {
		if strings.ContainsRune(arg, 0) {
			return executor.Process{}, fmt.Errorf("exec: argument %q holds a NUL byte", arg)
		}
	}
	withheld := h.state.Withheld
	if withheld == nil { // started by a version that did not write it down
		withheld = withhold(h.config.Env)
	}
	env := taskEnvironment(h.config.Env, withheld, h.state.UserName, cmp.Or(h.state.Home, h.state.WorkDir))
	if opts.Tty {
		if _, ok := env["TERM"]; !ok {
			env["TERM"] = "xterm"
		}
	}
	path := opts.Command[0]
	if strings.Contains(path, "/") && !filepath.IsAbs(path) {
		path = filepath.Join(h.state.TaskDir, path)
	}
	return executor.Process{Path: path, Args: opts.Command, Env: environmentList(env), Dir: h.state.WorkDir}, nil
}

// streams connect a command with its user.
type streams interface {
	// command returns the command's descriptors 0, 1 and 2.
	command() [3]*os.File
	// copy starts to copy input and output. The function that it returns waits
	// until all output is copied.
	copy(ctx context.Context, opts *drivers.ExecOptions, finished <-chan struct{}) (wait func())
	close()
}

// pipes are the streams of a command without a terminal.
type pipes struct {
	in, out, err pipe
}

type pipe struct{ r, w *os.File }

func newPipe() (p pipe, err error) {
	p.r, p.w, err = os.Pipe()
	return p, err
}

func (p pipe) close() {
	if p.r != nil {
		p.r.Close()
		p.w.Close()
	}
}

func newPipes() (streams, error) {
	s := &pipes{}
	var errs [3]error
	s.in, errs[0] = newPipe()
	s.out, errs[1] = newPipe()
	s.err, errs[2] = newPipe()
	if err := errors.Join(errs[:]...); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *pipes) command() [3]*os.File { return [3]*os.File{s.in.r, s.out.w, s.err.w} }

func (s *pipes) copy(_ context.Context, opts *drivers.ExecOptions, _ <-chan struct{}) func() {
	go func() {
		_, _ = io.Copy(s.in.w, opts.Stdin)
		s.in.w.Close() // the user's end of file is the command's
	}()
	var outputs sync.WaitGroup
	outputs.Go(func() { drain(opts.Stdout, s.out.r) })
	outputs.Go(func() { drain(opts.Stderr, s.err.r) })
	return outputs.Wait
}

func (s *pipes) close() {
	s.in.close()
	s.out.close()
	s.err.close()
}

// drain copies until the end, even if nobody takes it any more: a command must
// not hang because its user has gone.
func drain(w io.Writer, r io.Reader) {
	_, _ = io.Copy(w, r)
	_, _ = io.Copy(io.Discard, r)
}

// terminal is the stream of a command with one.
type terminal struct {
	user, tty *os.File
}

func newTerminal(task *executor.Task) (streams, error) {
	user, tty, err := task.OpenTerminal()
	if err != nil {
		return nil, err
	}
	return &terminal{user, tty}, nil
}

func (s *terminal) command() [3]*os.File { return [3]*os.File{s.tty, s.tty, s.tty} }

func (s *terminal) copy(ctx context.Context, opts *drivers.ExecOptions, finished <-chan struct{}) func() {
	go func() {
		for {
			select {
			case size, ok := <-opts.ResizeCh:
				if !ok {
					return
				}
				_ = pty.Setsize(s.user, &pty.Winsize{Rows: uint16(size.Height), Cols: uint16(size.Width)})
			case <-ctx.Done():
				return
			case <-finished:
				return
			}
		}
	}()
	go func() { _, _ = io.Copy(s.user, opts.Stdin) }()
	var output sync.WaitGroup
	// Reading fails with EIO when the last process has closed the terminal.
	output.Go(func() { drain(opts.Stdout, s.user) })
	return output.Wait
}

func (s *terminal) close() { s.user.Close() }
