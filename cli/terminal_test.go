// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// A command has the user's terminal: its size, changes of it, what is typed,
// and signals by keys. Afterwards the terminal is as it was.
func TestRunOnATerminal(t *testing.T) {
	dir := place(t, `{"side_effect_level":"process_exec"}`)
	for _, who := range everybody {
		cmd := runCommand(dir, who, "-quiet", "--", "bash", "-c", `
			trap 'echo interrupted; exit 3' INT
			trap 'stty size' WINCH
			[ -t 0 ] && : < /dev/tty && stty size && echo ready
			read line && echo "got $line"
			while :; do sleep 0.05; done`)
		user, terminal, err := pty.Open()
		if err != nil {
			t.Fatal(err)
		}
		if err := pty.Setsize(user, &pty.Winsize{Rows: 33, Cols: 77}); err != nil {
			t.Fatal(err)
		}
		if err := terminal.Chmod(0o666); err != nil { // its user's, as login(1) does
			t.Fatal(err)
		}
		before, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
		if cmd.SysProcAttr == nil {
			cmd.SysProcAttr = &syscall.SysProcAttr{}
		}
		cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty = true, true
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		said := &transcript{}
		go said.record(user)
		until := func(text string) bool {
			for range 600 {
				if strings.Contains(said.text(), text) {
					return true
				}
				time.Sleep(50 * time.Millisecond)
			}
			t.Errorf("%s: after 30 seconds, no %q in %q", who, text, said.text())
			return false
		}
		ok := until("33 77") && until("ready")
		if ok {
			_, err = user.WriteString("a line\n")
			ok = err == nil && until("got a line")
		}
		if ok {
			err = pty.Setsize(user, &pty.Winsize{Rows: 20, Cols: 100})
			ok = err == nil && until("20 100")
		}
		if ok {
			_, err = user.WriteString("\x03")
			ok = err == nil && until("interrupted")
		}
		if !ok {
			_ = cmd.Process.Kill()
		}
		_ = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); ok && code != 3 {
			t.Errorf("%s: status %d, want 3: %v", who, code, err)
		}
		after, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
		if err != nil || *after != *before {
			t.Errorf("%s: the terminal's settings are %+v, before %+v, %v", who, after, before, err)
		}
		if err := errors.Join(user.Close(), terminal.Close()); err != nil && !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
	}
}

// transcript is what a terminal has shown.
type transcript struct {
	lock sync.Mutex
	said []byte
}

func (s *transcript) record(r io.Reader) {
	buffer := make([]byte, 4096)
	for {
		n, err := r.Read(buffer)
		s.lock.Lock()
		s.said = append(s.said, buffer[:n]...)
		s.lock.Unlock()
		if err != nil {
			return
		}
	}
}

func (s *transcript) text() string {
	s.lock.Lock()
	defer s.lock.Unlock()
	return string(s.said)
}
