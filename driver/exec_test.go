// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/policy"
)

// stream runs a command as nomad alloc exec does.
func (h *harness) stream(ctx context.Context, id string, tty bool, stdout io.Writer, command ...string) (errs string, code int) {
	h.t.Helper()
	var stderr bytes.Buffer
	sizes := make(chan drivers.TerminalSize, 1)
	sizes <- drivers.TerminalSize{Height: 40, Width: 100}
	result, err := h.driver.ExecTaskStreaming(ctx, id, &drivers.ExecOptions{
		Command: command, Tty: tty, Stdin: io.NopCloser(strings.NewReader("")),
		Stdout: nopWriteCloser{stdout}, Stderr: nopWriteCloser{&stderr}, ResizeCh: sizes,
	})
	if err != nil {
		return err.Error(), -1
	}
	return stderr.String(), result.ExitCode
}

// Nomad shows little of an error: why a command did not run is on its stderr, and its
// exit code is that of shells.
func TestExecSaysWhyACommandDoesNotRun(t *testing.T) {
	h := newHarness(t, nil)
	cfg := h.task(TaskConfig{
		Command: "/bin/bash", Args: []string{"-c", "[ -d local ] && cd local; cp /bin/true prog; cp /bin/true mine; echo ready; sleep 1000"},
		Policy: &policy.Policy{SideEffectLevel: "process_exec", WorkspaceRoots: []string{"local"}},
	})
	h.start(cfg)
	h.log(cfg, "stdout", "ready\n")
	workDir := h.handle(cfg.ID).state.WorkDir
	prog, err := filepath.Rel(workDir, filepath.Join(h.handle(cfg.ID).state.TaskDir, "local", "prog"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tty := range []bool{false, true} {
		for _, tc := range []struct {
			command, says string
			code          int
		}{
			{"nosuch", "not found", 127},
			{"./nosuch", "not found", 127},
			{"/nosuch", "no such file", 127},
			{"/etc/passwd", "permission denied", 126},
			{"./" + prog, "", 0}, // where the session stands
			{"local/prog", "", 0},
			{"mine", "", 0}, // where the task's command is looked up
			{"true", "", 0},
		} {
			var out bytes.Buffer
			errs, code := h.stream(t.Context(), cfg.ID, tty, &out, tc.command)
			said, silent := errs, out.String()
			if tty {
				said, silent = silent, said
			}
			if code != tc.code || !strings.Contains(said, tc.says) || silent != "" || code != 0 && !strings.Contains(said, `"`+tc.command+`"`) {
				t.Errorf("%s (terminal: %v): code %d, %q, %q, want %d and %q", tc.command, tty, code, said, silent, tc.code, tc.says)
			}
		}
	}
}

// Of a script the client reads stdout alone: all of its output is there, in order.
func TestExecTaskReturnsAllOutputInOrder(t *testing.T) {
	h := newHarness(t, nil)
	cfg := h.task(sh("sleep 1000"))
	h.start(cfg)
	for range 5 {
		r, err := h.ExecTask(cfg.ID, []string{"sh", "-c", "for i in 1 2 3; do echo out $i; echo err $i >&2; done"}, 10*time.Second)
		const want = "out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n"
		if err != nil || string(r.Stdout) != want || len(r.Stderr) > 0 {
			t.Fatalf("%+v, %v, want %q", r, err, want)
		}
	}
}

// A command opens its descriptors by name, as scripts of health checks and entry points
// do: its user is another one than who has made them.
func TestExecOpensItsDescriptorsByName(t *testing.T) {
	h := newHarness(t, nil)
	cfg := h.task(sh("sleep 1000"))
	h.start(cfg)
	const script = "set -e; echo out > /dev/stdout; echo more >> /dev/stdout; echo err > /dev/stderr; cat /dev/stdin; cat <(echo sub); echo tee | tee /dev/stderr"
	for _, tty := range []bool{false, true} {
		var out bytes.Buffer
		script := script
		if tty {
			script = strings.Replace(script, "cat /dev/stdin; ", "", 1) // nobody types an end of file
		}
		errs, code := h.stream(t.Context(), cfg.ID, tty, &out, "bash", "-c", script)
		want, wantErrs := "out\nmore\nsub\ntee\n", "err\ntee\n"
		if tty {
			want, wantErrs = "out\r\nmore\r\nerr\r\nsub\r\ntee\r\ntee\r\n", ""
		}
		if code != 0 || out.String() != want || errs != wantErrs {
			t.Errorf("terminal: %v: code %d, %q, %q, want %q, %q", tty, code, out.String(), errs, want, wantErrs)
		}
	}
	r, err := h.ExecTask(cfg.ID, []string{"bash", "-c", script}, 10*time.Second)
	if want := "out\nmore\nerr\nsub\ntee\ntee\n"; err != nil || r.ExitResult.ExitCode != 0 || len(r.Stdout) != len(want) {
		t.Errorf("a script check: %+v, %v, want %q", r, err, want)
	}
	// The input is to read, the output to write, and nothing else.
	r, err = h.ExecTask(cfg.ID, []string{"bash", "-c", ": > /dev/stdin; : < /dev/stdout; stat -Lc %a /dev/stdin /dev/stdout"}, 10*time.Second)
	if err != nil || strings.Count(string(r.Stdout), "Permission denied") != 2 || !strings.HasSuffix(string(r.Stdout), "400\n200\n") {
		t.Errorf("the other way round: %+v, %v", r, err)
	}
}

// Whoever writes to a command that has closed its input is not kept waiting.
func TestExecTakesInputThatNobodyReads(t *testing.T) {
	h := newHarness(t, nil)
	cfg := h.task(sh("sleep 1000"))
	h.start(cfg)
	stdin, typed := io.Pipe()
	written := make(chan error, 1)
	go func() {
		_, err := typed.Write(make([]byte, 8<<20))
		written <- err
		typed.Close()
	}()
	ended := make(chan *drivers.ExitResult, 1)
	go func() {
		result, _ := h.driver.ExecTaskStreaming(t.Context(), cfg.ID, &drivers.ExecOptions{
			Command: []string{"bash", "-c", "exec 0<&-; until [ -e $NOMAD_TASK_DIR/go ]; do sleep 0.05; done; exit 3"},
			Stdin:   stdin, Stdout: nopWriteCloser{io.Discard}, Stderr: nopWriteCloser{io.Discard},
		})
		ended <- result
	}()
	select {
	case err := <-written:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Error("after 30 seconds, what was written has not been taken")
	}
	if err := os.WriteFile(filepath.Join(cfg.Env["NOMAD_TASK_DIR"], "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if result := <-ended; result == nil || result.ExitCode != 3 {
		t.Errorf("the command: %+v", result)
	}
}

// What a command leaves running does not hold its session, whatever of its streams it
// has; what a script has started ends with its timeout.
func TestExecEndsInTime(t *testing.T) {
	h := newHarness(t, nil)
	cfg := h.task(sh("sleep 1000"))
	h.start(cfg)
	for _, leave := range []string{"setsid -f sleep 500", "sleep 500 & disown", "(setsid sleep 500 &)", "setsid -f sh -c 'while :; do echo chatty; done'"} {
		began := time.Now()
		r, err := h.ExecTask(cfg.ID, []string{"bash", "-c", leave + "\necho hi; exit 3"}, 20*time.Second)
		if err != nil || r.ExitResult.ExitCode != 3 || !strings.Contains(leave+string(r.Stdout), "chatty") && string(r.Stdout) != "hi\n" {
			t.Errorf("%s: %+v, %v", leave, r, err)
		}
		for _, tty := range []bool{false, true} {
			var out bytes.Buffer
			if errs, code := h.stream(t.Context(), cfg.ID, tty, &out, "bash", "-c", leave+"\necho hi; exit 3"); code != 3 || !strings.Contains(out.String(), "hi") {
				t.Errorf("%s (terminal: %v): %d, %q, %q", leave, tty, code, out.String(), errs)
			}
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s: held up for %v", leave, took)
		}
	}
	before := len(h.pids(cfg.ID))
	for _, script := range []string{"sleep 500", "setsid -f sleep 500; sleep 500", "trap '' TERM; (setsid bash -c 'trap \"\" TERM HUP; sleep 500; sleep 500' &); kill -STOP $$"} {
		began := time.Now()
		r, err := h.ExecTask(cfg.ID, []string{"bash", "-c", script}, time.Second)
		if err == nil || !errors.Is(err, context.DeadlineExceeded) && !strings.Contains(err.Error(), "timeout") {
			t.Errorf("%s: %+v, %v, want its timeout", script, r, err)
		}
		if took := time.Since(began); took > 8*time.Second {
			t.Errorf("%s: a timeout of a second took %v", script, took)
		}
	}
	if after := h.pids(cfg.ID); len(after) > before {
		t.Errorf("%d processes, %d before scripts that were ended by their timeout", len(after), before)
	}
}

// slow takes the first of what it is given late.
type slow struct {
	bytes.Buffer
	waited bool
}

func (s *slow) Write(p []byte) (int, error) {
	if !s.waited {
		s.waited = true
		time.Sleep(3 * drainGrace)
	}
	return s.Buffer.Write(p)
}

// Output is not lost because it is taken slowly, nor because somebody else has its
// stream.
func TestExecKeepsOutputOfTheSlow(t *testing.T) {
	h := newHarness(t, nil)
	cfg := h.task(sh("sleep 1000"))
	h.start(cfg)
	const size = 60_000 // what a pipe holds: the command ends while the first is taken
	for _, left := range []string{"", "sleep 500 &"} {
		var out slow
		if errs, code := h.stream(t.Context(), cfg.ID, false, &out, "bash", "-c", left+" head -c 60000 /dev/zero"); code != 0 || out.Len() != size {
			t.Errorf("left %q: %d bytes of %d, code %d, %s", left, out.Len(), size, code, errs)
		}
	}
}

// A session's processes see those of the task, by the tools that people use.
func TestExecSeesTheTask(t *testing.T) {
	h := newHarness(t, nil)
	cfg := h.task(sh("echo $$ > local/pid; exec -a myserver sleep 1000"))
	h.start(cfg)
	for range 500 {
		if text, _ := os.ReadFile(filepath.Join(h.handle(cfg.ID).state.TaskDir, "local", "pid")); len(text) > 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	const script = `cd "$NOMAD_TASK_DIR/.." 2> /dev/null; pid=$(cat local/pid)
		ps ax | grep -q '[m]yserver' && echo ps
		pgrep -f myserver > /dev/null && echo pgrep
		test -e /proc/$pid && echo proc
		top -b -n 1 | grep -q " $pid \|^ *$pid " && echo top
		kill -0 $pid && echo signal
		cat /proc/1/environ && echo environ
		pkill -CONT -f '^myserver' && echo pkill # said before it ends the task, and this shell with it
		pkill -f '^myserver'`
	var out bytes.Buffer
	errs, _ := h.stream(t.Context(), cfg.ID, false, &out, "bash", "-c", "cd "+h.handle(cfg.ID).state.TaskDir+"; "+script)
	if want := "ps\npgrep\nproc\ntop\nsignal\npkill\n"; out.String() != want {
		t.Errorf("%q, want %q; %s", out.String(), want, errs)
	}
	if got := h.wait(cfg.ID); got.Signal != int(unix.SIGTERM) {
		t.Errorf("%+v, want it ended by pkill", got)
	}
}

// kill_signal and signals go to the first process. When that has ended, all of the
// others end.
func TestSignalsGoToTheFirstProcess(t *testing.T) {
	h := newHarness(t, nil)
	cfg := h.task(sh(`
		worker() { trap "echo worker got TERM; exit 1" TERM HUP; while :; do sleep 0.05; done; }
		worker & W=$!
		trap 'echo got HUP' HUP
		trap 'for i in 1 2; do sleep 0.3; kill -0 $W && echo worker serves; done; echo drained; exit 4' TERM
		echo ready; while :; do sleep 0.05; done`))
	h.start(cfg)
	h.log(cfg, "stdout", "ready\n")
	if err := h.SignalTask(cfg.ID, "SIGHUP"); err != nil {
		t.Fatal(err)
	}
	h.log(cfg, "stdout", "got HUP\n")
	if err := h.StopTask(cfg.ID, 20*time.Second, "SIGTERM"); err != nil {
		t.Fatal(err)
	}
	if got := h.wait(cfg.ID); got.ExitCode != 4 {
		t.Errorf("%+v, want 4", got)
	}
	if text := h.log(cfg, "stdout", "drained\n"); strings.Count(text, "worker serves") != 2 || strings.Contains(text, "worker got") {
		t.Errorf("%q, want that the worker serves while the first process drains", text)
	}
	if pids := h.pids(cfg.ID); len(pids) > 0 {
		t.Errorf("left running: %v", pids)
	}
}
