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
	"github.com/hashicorp/nomad/plugins/drivers"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/metrics"
	"github.com/burin-labs/nomad-driver-harn/sandbox"
)

// ExecTask implements drivers.DriverPlugin: script checks, and templates'
// change_mode "script". Of the output the last CheckBufSize bytes are kept, of stdout
// and stderr in order: the client reads Stdout alone.
func (d *Driver) ExecTask(taskID string, cmd []string, timeout time.Duration) (*drivers.ExecTaskResult, error) {
	h, ok := d.tasks.get(taskID)
	if !ok {
		return nil, drivers.ErrTaskNotFound
	}
	defer d.count().Session(metrics.Script)()
	ctx, cancel := context.WithTimeout(d.ctx, timeout)
	defer cancel()
	output, err := circbuf.NewBuffer(checkBufSize)
	if err != nil {
		return nil, err
	}
	result, err := h.exec(ctx, &drivers.ExecOptions{
		Command: cmd,
		Stdin:   io.NopCloser(strings.NewReader("")),
		Stdout:  nopWriteCloser{output},
	}, newScriptPipes)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("the timeout of %v is over, and all that the script has started was killed: %w", timeout, err)
	}
	if err != nil {
		return nil, plain.Error(err)
	}
	return &drivers.ExecTaskResult{Stdout: output.Bytes(), ExitResult: result}, nil
}

// checkBufSize is how many bytes of a script check's output are kept, as in
// Nomad (drivers.CheckBufSize).
const checkBufSize = drivers.CheckBufSize

type nopWriteCloser struct{ io.Writer }

func (nopWriteCloser) Close() error { return nil }

// ExecTaskStreaming implements drivers.ExecTaskStreamingDriver: nomad alloc
// exec.
//
// Why a command did not run, its user reads on its stderr, as from a shell. Of an
// error Nomad shows 90 bytes, or none: the rest of a longer one does not fit the
// message by which it closes the connection.
func (d *Driver) ExecTaskStreaming(ctx context.Context, taskID string, opts *drivers.ExecOptions) (*drivers.ExitResult, error) {
	h, ok := d.tasks.get(taskID)
	if !ok {
		return nil, drivers.ErrTaskNotFound
	}
	defer d.count().Session(metrics.Exec)()
	open := newPipes
	if opts.Tty {
		open = newTerminal
	}
	result, err := h.exec(ctx, opts, open)
	if err == nil || ctx.Err() != nil {
		return result, err
	}
	code, to, newline := notRun, io.Writer(opts.Stderr), "\n"
	var unrunnable *executor.CommandError
	if errors.As(err, &unrunnable) {
		code = unrunnable.Code
	}
	if opts.Tty {
		to, newline = opts.Stdout, "\r\n" // a terminal is shown the one stream
	}
	if _, failed := io.WriteString(to, Name+": "+plain.Error(err).Error()+newline); failed != nil {
		return nil, err
	}
	return &drivers.ExitResult{ExitCode: code}, nil
}

// notRun is the exit code of a session that has not come to its command, as that of
// env(1).
const notRun = 125

// exec runs a command in the task, under the task's confinement, until it ends
// or ctx does.
func (h *taskHandle) exec(ctx context.Context, opts *drivers.ExecOptions, open func(*executor.Task) (streams, error)) (*drivers.ExitResult, error) {
	process, err := h.process(opts)
	if err != nil {
		return nil, err
	}
	streams, err := open(h.task)
	if err != nil {
		return nil, err
	}
	if t, ok := streams.(*terminal); ok {
		t.awaitSize(ctx, opts.ResizeCh)
	}
	files, tty := streams.command()
	session, err := h.task.Exec(ctx, process, files, tty)
	for _, f := range files {
		f.Close() // the command's alone from here on
	}
	if err != nil {
		streams.close()
		return nil, fmt.Errorf("%s: %w", plain.Quote(opts.Command[0]), err)
	}
	finished := make(chan struct{})
	defer close(finished)
	copied := make(chan struct{})
	wait := streams.copy(ctx, opts, finished)
	go func() {
		wait()
		close(copied)
	}()
	exit, err := session.Wait()
	// All that the command has written is read before the result is sent: it would be
	// lost after. What it has left running may hold its streams for long.
	streams.end(time.Now().Add(drainGrace))
	select {
	case <-copied:
	case <-ctx.Done():
	}
	streams.close()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%s: %w", plain.Quote(opts.Command[0]), ctx.Err())
	}
	if err != nil {
		return nil, err
	}
	return &drivers.ExitResult{ExitCode: exit.Code, Signal: exit.Signal}, nil
}

// drainGrace is how long output is waited for once the command has ended: that of
// what it has left running.
const drainGrace = 250 * time.Millisecond

// process is the command with the task's own environment and working directory. It
// is looked up as shells do, and then where the task's command is.
func (h *taskHandle) process(opts *drivers.ExecOptions) (executor.Process, error) {
	if len(opts.Command) == 0 || opts.Command[0] == "" {
		return executor.Process{}, errors.New("exec: no command, expected a program and its arguments")
	}
	for _, arg := range opts.Command {
		if strings.ContainsRune(arg, 0) {
			return executor.Process{}, fmt.Errorf("exec: argument %s holds a NUL byte", plain.Name(arg))
		}
	}
	withheld := h.state.Withheld
	if withheld == nil { // started by a version that did not write it down
		withheld = sandbox.Withhold(h.config.Env)
	}
	env := sandbox.TaskEnvironment(h.config.Env, withheld, h.state.UserName, cmp.Or(h.state.Home, h.state.WorkDir), h.state.PresetEnv, h.state.Variables)
	if opts.Tty {
		if _, ok := env["TERM"]; !ok {
			env["TERM"] = "xterm"
		}
	}
	near := []string{h.state.TaskDir}
	if !strings.Contains(opts.Command[0], "/") {
		near = []string{filepath.Join(h.state.TaskDir, "local"), h.state.TaskDir}
	}
	return executor.Process{
		Path: opts.Command[0], Near: near, Args: opts.Command, Env: sandbox.EnvironmentList(env), Dir: h.state.WorkDir,
	}, nil
}

// streams connect a command with its user.
type streams interface {
	// command returns the command's descriptors 0, 1 and 2, and its terminal if they
	// are one.
	command() ([3]*os.File, *executor.Terminal)
	// copy starts to copy input and output. The function that it returns waits
	// until all output is copied.
	copy(ctx context.Context, opts *drivers.ExecOptions, finished <-chan struct{}) (wait func())
	// end says that the command has ended. Its output is copied, and what comes until
	// then.
	end(then time.Time)
	close()
}

// pipes are the streams of a command without a terminal.
type pipes struct {
	in, out, err pipe // out is err's as well if that is not there
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

func newPipes(*executor.Task) (streams, error) {
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

// newScriptPipes makes one pipe for all output: so it keeps its order.
func newScriptPipes(*executor.Task) (streams, error) {
	s := &pipes{}
	var errs [2]error
	s.in, errs[0] = newPipe()
	s.out, errs[1] = newPipe()
	if err := errors.Join(errs[:]...); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *pipes) command() ([3]*os.File, *executor.Terminal) {
	if s.err.w == nil {
		return [3]*os.File{s.in.r, s.out.w, s.out.w}, nil
	}
	return [3]*os.File{s.in.r, s.out.w, s.err.w}, nil
}

func (s *pipes) copy(_ context.Context, opts *drivers.ExecOptions, _ <-chan struct{}) func() {
	go func() {
		_, _ = io.Copy(s.in.w, opts.Stdin)
		s.in.w.Close() // the user's end of file is the command's
		// A command that takes no more of it must not keep its user from writing: on the
		// same connection come the sizes of the terminal and the end.
		_, _ = io.Copy(io.Discard, opts.Stdin)
	}()
	var outputs sync.WaitGroup
	outputs.Go(func() { drain(opts.Stdout, s.out.r) })
	if s.err.r != nil {
		outputs.Go(func() { drain(opts.Stderr, s.err.r) })
	}
	return outputs.Wait
}

func (s *pipes) end(then time.Time) {
	for _, f := range []*os.File{s.out.r, s.err.r} {
		if f != nil {
			_ = f.SetReadDeadline(then)
		}
	}
}

func (s *pipes) close() {
	s.in.close()
	s.out.close()
	s.err.close()
}

// drain copies until the end or the deadline of reading, even if nobody takes it any
// more: a command must not hang because its user has gone.
func drain(w io.Writer, r *os.File) {
	_, err := io.Copy(w, r)
	if err == nil {
		return
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		w = io.Discard
		if _, err = io.Copy(w, r); !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
	}
	// Whoever takes it was slow: what the command has written may still be there.
	_, _ = w.Write(readPending(r))
}

// maxPending is more than a pipe or a terminal holds, unless somebody has made it
// larger.
const maxPending = 1 << 20

// readPending returns what can be read without waiting.
func readPending(r *os.File) (pending []byte) {
	conn, err := r.SyscallConn()
	if err != nil {
		return nil
	}
	buffer := make([]byte, 64<<10)
	// Not by Read of conn, which heeds the deadline.
	_ = conn.Control(func(fd uintptr) {
		for len(pending) < maxPending {
			n, err := unix.Read(int(fd), buffer) // it is not blocking: EAGAIN if there is nothing
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if n <= 0 {
				return
			}
			pending = append(pending, buffer[:n]...)
		}
	})
	return pending
}

// terminal is the stream of a command with one.
type terminal struct{ *executor.Terminal }

func newTerminal(task *executor.Task) (streams, error) {
	t, err := task.OpenTerminal()
	if err != nil {
		return nil, err
	}
	return &terminal{t}, nil
}

func (s *terminal) command() ([3]*os.File, *executor.Terminal) {
	return [3]*os.File{s.TTY, s.TTY, s.TTY}, s.Terminal
}

func (s *terminal) copy(ctx context.Context, opts *drivers.ExecOptions, finished <-chan struct{}) func() {
	go func() {
		for {
			select {
			case size, ok := <-opts.ResizeCh:
				if !ok {
					return
				}
				s.resize(size)
			case <-ctx.Done():
				return
			case <-finished:
				return
			}
		}
	}()
	go func() { _, _ = io.Copy(s.User, opts.Stdin) }()
	var output sync.WaitGroup
	// Reading fails with EIO when the last process has closed the terminal.
	output.Go(func() { drain(opts.Stdout, s.User) })
	return output.Wait
}

// firstSize is how long a command waits for its terminal's size, which people's
// terminals send first of all.
const firstSize = 200 * time.Millisecond

// awaitSize gives the terminal its size before the command can ask for it.
func (s *terminal) awaitSize(ctx context.Context, sizes <-chan drivers.TerminalSize) {
	if sizes == nil {
		return
	}
	select {
	case size, ok := <-sizes:
		if ok {
			s.resize(size)
		}
	case <-time.After(firstSize):
	case <-ctx.Done():
	}
}

// resize does not use Fd, which would have reading wait without a deadline.
func (s *terminal) resize(size drivers.TerminalSize) {
	conn, err := s.User.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Control(func(fd uintptr) {
		_ = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(size.Height), Col: uint16(size.Width)})
	})
}

func (s *terminal) end(then time.Time) { _ = s.User.SetReadDeadline(then) }

func (s *terminal) close() { s.Close() }
