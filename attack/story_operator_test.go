// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package attack

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/driver"
)

// grace is how long after its deadline a session may return.
const grace = 3 * time.Second

// session runs a command in a task as a script check does. It says whether it
// came back in time.
func (s *scene) session(id string, timeout time.Duration, command ...string) (*drivers.ExecTaskResult, error) {
	type answer struct {
		result *drivers.ExecTaskResult
		err    error
	}
	done := make(chan answer, 1)
	go func() {
		result, err := s.Impl().ExecTask(id, command, timeout)
		done <- answer{result, err}
	}()
	select {
	case a := <-done:
		s.held("in time")
		return a.result, a.err
	case <-time.After(timeout + grace):
		s.escape("%.40q with a timeout of %v has not returned after %v", command, timeout, timeout+grace)
		return nil, context.DeadlineExceeded
	}
}

// sessions are the driver's processes for sessions, and where they hang.
func sessions() (found []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		if data, _ := os.ReadFile(file); bytes.HasPrefix(data, []byte("harn-session")) {
			found = append(found, filepath.Dir(file))
		}
	}
	return found
}

// nothingLeft looks for sessions, and for processes by an argument of theirs.
func (s *scene) nothingLeft(arguments ...string) {
	var left []string
	for range 100 {
		left = sessions()
		files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, file := range files {
			data, _ := os.ReadFile(file)
			for _, argument := range arguments {
				if strings.HasSuffix(string(data), "\x00"+argument+"\x00") {
					left = append(left, strings.ReplaceAll(string(data), "\x00", " "))
				}
			}
		}
		if len(left) == 0 {
			s.held("nothing is left")
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.escape("left on the host: %s", strings.Join(left, ", "))
	for _, dir := range sessions() { // not to be found by the next story
		var pid int
		if _, err := fmt.Sscanf(dir, "/proc/%d", &pid); err == nil {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// destroyed ends a task, which must work whatever the task does.
func (s *scene) destroyed(id string) {
	done := make(chan error, 1)
	go func() { done <- s.DestroyTask(id, true) }()
	select {
	case err := <-done:
		if err != nil {
			s.fault("destroying the task: %v", err)
		}
	case <-time.After(10 * time.Second):
		s.escape("the task cannot be destroyed")
	}
}

// shell starts a task that runs a script.
func (s *scene) shell(c *company, config driver.TaskConfig, script string) string {
	config.Command, config.Args = "/bin/sh", []string{"-c", script}
	if config.Policy == nil {
		config.Policy = s.policy(nil, nil)
	}
	cfg := c.task(config)
	s.check(s.start(cfg))
	return cfg.ID
}

// operatorStories are sessions in a task that does not want them to end.
func operatorStories() (stories []story) {
	for _, signal := range []syscall.Signal{unix.SIGSTOP, unix.SIGKILL, unix.SIGTERM, unix.SIGTSTP} {
		name := strings.ToLower(unix.SignalName(signal))
		stories = append(stories, story{
			name: "operator_exec_" + name + "_storm", about: "A task sends " + unix.SignalName(signal) + " to all processes in a loop, while a script check runs in it.", once: signal != unix.SIGSTOP,
			play: func(s *scene) {
				s.stormControl(int(signal))
				c := s.company("attack", s.profile.user)
				p := c.begin(driver.TaskConfig{}, fmt.Sprintf("storm|%d", signal)).mustStart()
				time.Sleep(100 * time.Millisecond)
				for range 3 {
					_, _ = s.session(p.id, 300*time.Millisecond, "/bin/echo", "hello")
				}
				s.nothingLeft()
				s.destroyed(p.id)
				s.nothingLeft()
			},
		})
	}
	stories = append(stories, story{
		name: "operator_exec_limits", about: "A task sets limits of all processes of its user, while a command of a session runs in it.",
		play: func(s *scene) {
			s.limitControl()
			c := s.company("attack", s.profile.user)
			p := c.begin(driver.TaskConfig{}, "limit").mustStart()
			time.Sleep(100 * time.Millisecond)
			for range 3 {
				result, err := s.session(p.id, 10*time.Second, "/bin/sh", "-c", "sleep 0.3; ls /usr > /dev/null && echo hello")
				if err != nil {
					s.escape("the command of the session: %v", err)
				} else if string(result.Stdout) != "hello\n" {
					s.escape("the command of the session: %q", result.Stdout)
				}
			}
			s.destroyed(p.id)
			s.nothingLeft()
		},
	})
	add := func(name, about string, play func(s *scene, c *company)) {
		stories = append(stories, story{name: "operator_" + name, about: about, once: true, play: func(s *scene) {
			play(s, s.company("attack", s.profile.user))
		}})
	}
	for name, script := range map[string]string{
		"setsid":        "setsid -f sleep 47110; sleep 0.1; echo hi",
		"setsid_closed": "setsid -f sleep 47110 > /dev/null 2>&1 < /dev/null; sleep 0.1; echo hi",
		"double_fork":   "(setsid sh -c 'trap \"\" TERM HUP INT; sleep 47110' &) ; sleep 0.1; echo hi",
		"stopped":       "kill -STOP $$",
		"slow":          "exec sleep 47110",
		"deaf":          "trap '' TERM HUP INT; while :; do sleep 0.1; done",
		"flood":         "exec yes",
		"flood_stderr":  "exec yes >&2",
	} {
		add("exec_"+name, "A command of a script check does not end: "+script, func(s *scene, c *company) {
			id := s.shell(c, driver.TaskConfig{}, "exec sleep 1000")
			_, _ = s.session(id, 500*time.Millisecond, "/bin/sh", "-c", script)
			if result, err := s.session(id, 5*time.Second, "/bin/echo", "next"); err != nil || string(result.Stdout) != "next\n" {
				s.fault("the next command: %v, %v", result, err)
			}
			if name == "slow" || name == "stopped" || name == "deaf" {
				s.nothingLeft("47110")
			}
			s.destroyed(id)
			s.nothingLeft("47110")
		})
	}
	add("exec_full_table", "A task has all the processes that it may have, while a script check is to run in it.", func(s *scene, c *company) {
		id := s.shell(c, driver.TaskConfig{PidsLimit: 20}, "while :; do (while :; do sleep 47110 & done) 2> /dev/null; done")
		time.Sleep(200 * time.Millisecond)
		for range 3 {
			_, _ = s.session(id, 500*time.Millisecond, "/bin/sh", "-c", "/bin/echo hello")
		}
		s.nothingLeft()
		s.destroyed(id)
		s.nothingLeft("47110")
	})
	add("exec_memory", "A command of a script check that floods its memory files and descriptors ends by its deadline.", func(s *scene, c *company) {
		id := s.shell(c, driver.TaskConfig{}, "exec sleep 1000")
		_, _ = s.session(id, 500*time.Millisecond, "/bin/sh", "-c", "while :; do exec 9< /dev/zero; x=$x$x.; done")
		s.destroyed(id)
		s.nothingLeft()
	})
	add("exec_control_characters", "A command for a session whose name holds escape sequences is refused in words that can be read.", func(s *scene, c *company) {
		id := s.shell(c, driver.TaskConfig{}, "exec sleep 1000")
		for _, command := range []string{"/bin/x\x1b[31m\nFAKE\x07", "x\x1b]0;title\x07", "local/x\ny"} {
			_, err := s.session(id, time.Second, command)
			if err != nil {
				s.printable("the error", err.Error())
			}
		}
	})
	add("exec_canceled", "An operator gives a session up: nothing of it is left.", func(s *scene, c *company) {
		id := s.shell(c, driver.TaskConfig{}, "exec sleep 1000")
		for _, tty := range []bool{false, true} {
			t := s.attach(id, tty, "/bin/sh", "-c", "trap '' TERM HUP INT; echo ready; sleep 47110")
			t.until("ready")
			t.cancel()
			t.ended(s)
			s.nothingLeft("47110")
		}
	})
	seconds := "1.5" // longer than the session takes
	if os.Getenv("HARN_VM") != "" {
		seconds = "8"
	}
	for name, operations := range map[string]string{"keys": "!keys|" + seconds, "types": "!type|" + seconds} {
		stories = append(stories, story{
			name: "operator_exec_terminal_" + name, about: map[string]string{
				"keys":  "A task opens the terminal of alloc exec -t, and reads what the operator types.",
				"types": "A task opens the terminal of alloc exec -t, and writes to the operator's screen.",
			}[name],
			play: func(s *scene) {
				c := s.company("attack", s.profile.user)
				p := c.begin(driver.TaskConfig{}, "sleep|0s", operations).mustStart()
				p.until(1)
				t := s.attach(p.id, true, "/bin/sh", "-c", "stty -echo; echo ready; sleep 0.3; read line; echo got $line; sleep 0.3")
				t.until("ready")
				for range 8 { // most of it before the command reads
					t.typed(secretText + "\n")
					time.Sleep(50 * time.Millisecond)
				}
				t.ended(s)
				p.finish()
				if name == "types" && strings.Contains(t.text(), "INJECTED") {
					s.escape("the operator sees INJECTED")
				}
				if !strings.Contains(t.text(), "got") {
					s.fault("the command has not read what the operator typed: %q", t.text())
				}
			},
		})
	}
	return stories
}

// stormControl shows that the storm stops what is not guarded: a shell, process
// 1 of its namespace, does not get to its second command.
func (s *scene) stormControl(signal int) {
	s.count++
	file := s.path(fmt.Sprintf("storm-%d", s.count))
	cmd := exec.CommandContext(s.ctx, "/bin/sh", "-c", fmt.Sprintf("%s probe %s.x 'storm|%d' & sleep 0.2; for i in 1 2 3 4 5 6 7 8 9; do sleep 0.05 || exit 1; done; echo hello > %s", s.suite, file, signal, file))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID, Pdeathsig: unix.SIGKILL}
	s.check(cmd.Start())
	time.Sleep(time.Second)
	if _, err := os.Stat(file); err == nil {
		s.unproved = "the storm stops nobody"
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// limitControl shows that without the driver the limits end a command.
func (s *scene) limitControl() {
	s.count++
	file := s.path(fmt.Sprintf("limit-%d", s.count))
	cmd := exec.CommandContext(s.ctx, "/bin/sh", "-c", fmt.Sprintf("%s probe %s.x limit & sleep 0.5; ls / > /dev/null && echo hello > %s", s.suite, file, file))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID, Pdeathsig: unix.SIGKILL}
	s.check(cmd.Start())
	time.Sleep(1500 * time.Millisecond)
	if data, _ := os.ReadFile(file); len(data) > 0 {
		s.unproved = "the limits stop nobody"
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// attached is a session with an operator at it.
type attached struct {
	mutex  sync.Mutex
	shown  bytes.Buffer
	stdin  *io.PipeWriter
	cancel context.CancelFunc
	done   chan struct{}
}

func (t *attached) Write(data []byte) (int, error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return t.shown.Write(data)
}

func (t *attached) Close() error { return nil }

func (t *attached) text() string {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return t.shown.String()
}

func (t *attached) until(text string) {
	for range 1000 {
		if strings.Contains(t.text(), text) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (t *attached) typed(text string) { go func() { _, _ = t.stdin.Write([]byte(text)) }() }

// ended waits for the session's end.
func (t *attached) ended(s *scene) {
	select {
	case <-t.done:
		s.held("ended")
	case <-time.After(5 * time.Second):
		s.escape("the session does not end")
	}
}

func (s *scene) attach(id string, tty bool, command ...string) *attached {
	t := &attached{done: make(chan struct{})}
	in, out := io.Pipe()
	t.stdin = out
	var ctx context.Context
	ctx, t.cancel = context.WithCancel(s.ctx)
	s.defers(func() {
		t.cancel()
		_ = in.Close()
	})
	go func() {
		_, _ = s.Impl().(drivers.ExecTaskStreamingDriver).ExecTaskStreaming(ctx, id, &drivers.ExecOptions{
			Command: command, Tty: tty, Stdin: in, Stdout: t, Stderr: t, ResizeCh: make(chan drivers.TerminalSize),
		})
		close(t.done)
	}()
	return t
}
