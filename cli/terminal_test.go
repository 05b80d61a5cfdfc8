// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
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

// Whichever of its descriptors is a terminal, a command has none of the user's: not by
// the descriptor, nor by /dev/tty; and afterwards the user's is as it was. What is
// typed reaches it if its input is the terminal, and what it says arrives.
func TestRunWhereSomeAreATerminal(t *testing.T) {
	dir := place(t, `{"side_effect_level":"process_exec"}`)
	kinds := []string{"terminal", "pipe", "file"}
	for _, who := range everybody {
		for i := range 27 {
			kind := [3]string{kinds[i%3], kinds[i/3%3], kinds[i/9]}
			t.Run(fmt.Sprintf("%v/%s", who, strings.Join(kind[:], ",")), func(t *testing.T) { runAmong(t, dir, who, kind) })
		}
	}
}

func runAmong(t *testing.T, dir string, who string, kind [3]string) {
	result := filepath.Join(dir, "inner", "result")
	_ = os.Remove(result)
	cmd := runCommand(dir, who, "-quiet", "--", "bash", "-c", `
		exec 7> inner/result.new
		for fd in 0 1 2; do
			exec 8>&$fd
			[ -t $fd ] && echo "$fd is $(stat -L -c %T - <&8)" >&7
			stty -echo <&$fd 2> /dev/null
		done
		{ echo reached > /dev/tty; stty -F /dev/tty raw; } 2> /dev/null
		read line; echo "got $line" >&7
		mv inner/result.new inner/result
		echo said; echo warned >&2`)
	user, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer user.Close()
	defer terminal.Close()
	if err := terminal.Chmod(0o666); err != nil { // its user's, as login(1) does
		t.Fatal(err)
	}
	var own unix.Stat_t
	if err := unix.Fstat(int(terminal.Fd()), &own); err != nil {
		t.Fatal(err)
	}
	before, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	outputs := make([]func() string, 3)
	said := &transcript{}
	var files [3]*os.File
	for fd, k := range kind {
		switch k {
		case "terminal":
			files[fd], outputs[fd] = terminal, func() string { return strings.ReplaceAll(said.text(), "\r", "") }
		case "file":
			f, err := os.CreateTemp(t.TempDir(), "std")
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if fd == 0 {
				_, _ = f.WriteString("a line\n")
				_, _ = f.Seek(0, 0)
			}
			files[fd], outputs[fd] = f, func() string { text, _ := os.ReadFile(f.Name()); return string(text) }
		case "pipe":
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			defer w.Close()
			if fd == 0 {
				_, _ = w.WriteString("a line\n")
				files[fd] = r
				continue
			}
			files[fd], outputs[fd] = w, func() string { w.Close(); text, _ := io.ReadAll(r); return string(text) }
		}
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = files[0], files[1], files[2]
	cmd.ExtraFiles = []*os.File{terminal}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty, cmd.SysProcAttr.Ctty = true, true, 3
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go said.record(user)
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	time.Sleep(50 * time.Millisecond)
	if _, err := user.WriteString("a line\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		_ = cmd.Process.Kill()
		t.Fatalf("it does not end; the terminal shows %q", said.text())
	}
	if code := cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("status %d; the terminal shows %q", code, said.text())
	}
	text, err := os.ReadFile(result)
	if err != nil || !strings.Contains(string(text), "got a line\n") {
		t.Errorf("%v, what it has read: %q", err, text)
	}
	for fd, k := range kind {
		is := strings.Contains(string(text), fmt.Sprintf("%d is ", fd))
		if is != (k == "terminal") {
			t.Errorf("descriptor %d is a terminal: %v, as %s", fd, is, k)
		}
		if strings.Contains(string(text), fmt.Sprintf("%d is %x\n", fd, unix.Minor(own.Rdev))) {
			t.Errorf("descriptor %d is the user's terminal", fd)
		}
	}
	for range 40 { // a terminal's reader is a goroutine of its own
		if kind[1] != "terminal" && kind[2] != "terminal" || strings.Contains(said.text(), "warned") || kind[2] != "terminal" && strings.Contains(said.text(), "said") {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	for fd, want := range map[int]string{1: "said\n", 2: "warned\n"} {
		if got := outputs[fd](); !strings.Contains(got, want) {
			t.Errorf("descriptor %d: no %q in %q", fd, want, got)
		}
	}
	if kind[0] != "terminal" && strings.Contains(said.text(), "reached") {
		t.Errorf("/dev/tty was there, with an input that is none: %q", said.text())
	}
	after, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil || *after != *before {
		t.Errorf("the terminal is left changed: %+v, was %+v (%v)", after, before, err)
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
