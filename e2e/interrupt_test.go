// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

// What people start by make and interrupt, as a terminal does (SIGINT to all of the
// foreground), or as others do (SIGTERM to make alone), leaves no process, mount, cgroup
// or directory behind.
func TestInterruptedToolsLeaveNothing(t *testing.T) {
	if inVM {
		t.Skip("a VM has no compiler in reach, and no need of it: the tools are those of the host")
	}
	supervised := func(p kerneltest.Process) bool { return p.Args[0] == "harn-supervisor" }
	hasAgent := func(p kerneltest.Process) bool {
		return len(p.Args) > 1 && filepath.Base(p.Args[0]) == "nomad" && p.Args[1] == "agent"
	}
	for _, tool := range []struct {
		name  string
		args  []string                      // of make
		there func(kerneltest.Process) bool // a process of the tool's for which the interrupt waits
	}{
		{"bench", []string{"bench", "RUN=memory", "SHORT=1"}, supervised},
		{"faults", []string{"faults"}, supervised},
		{"e2e", []string{"e2e"}, supervised},
		{"demo", []string{"demo"}, hasAgent},
		{"programs", []string{"-f", "interrupted.mk"}, func(p kerneltest.Process) bool { return strings.Join(p.Args, " ") == "sleep 98765" }},
	} {
		for how, interrupt := range map[string]func(pid int) error{
			"terminal": func(pid int) error { return syscall.Kill(-pid, syscall.SIGINT) },
			"sigterm":  func(pid int) error { return syscall.Kill(pid, syscall.SIGTERM) },
		} {
			t.Run(tool.name+"/"+how, func(t *testing.T) {
				w := newWorkplace(t)
				out := w.start(t, tool.args)
				eventually(t, "what the interrupt waits for is not there", func() bool {
					select {
					case <-w.ended:
						t.Fatalf("make has ended:\n%s", out.Bytes())
					default:
					}
					return slices.ContainsFunc(w.own(), tool.there)
				})
				if err := interrupt(w.cmd.Process.Pid); err != nil {
					t.Fatal(err)
				}
				select {
				case <-w.ended:
				case <-time.After(waitFor):
					t.Errorf("make goes on")
				}
				if w.cmd.ProcessState.Success() {
					t.Errorf("make says that all went well")
				}
				w.checkNothingLeft(t)
				if t.Failed() {
					t.Logf("%s", out.Bytes())
				}
			})
		}
	}
}

// workplace is where a tool runs: with a /tmp and a /var/tmp of its own, of which the test
// sees what is left.
type workplace struct {
	dir    string
	before map[string]bool // processes, mounts, cgroups
	cmd    *exec.Cmd
	ended  chan struct{}
}

func newWorkplace(t *testing.T) *workplace {
	t.Helper()
	dir, err := os.MkdirTemp(kerneltest.Scratch(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	w := &workplace{dir: dir, ended: make(chan struct{})}
	for _, name := range []string{"tmp", "var-tmp", "bin", "programs/programs/layer/usr", "programs/programs/layer/etc"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"nomad", "nomad-driver-harn"} {
		if err := os.Symlink(binary(name), filepath.Join(dir, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"tmp", "var-tmp"} {
		if err := os.Chmod(filepath.Join(dir, name), 0o777|os.ModeSticky); err != nil {
			t.Fatal(err)
		}
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	// with.sh as "make programs" runs it, on programs that need not be fetched: a
	// process that outlives its parent stands for an agent.
	rules := fmt.Sprintf("all:\n\texec %s/programs/with.sh sh -c 'setsid sleep 98765 & mount -t tmpfs tmpfs /mnt; wait'\n", root)
	for name, text := range map[string]string{"programs/programs/npm": "", "interrupted.mk": rules} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// start runs make in a process group of its own, as a terminal would.
func (w *workplace) start(t *testing.T, args []string) *bytes.Buffer {
	t.Helper()
	w.before = w.there()
	bin := filepath.Join(w.dir, "bin")
	for i := range args {
		if args[i] == "interrupted.mk" {
			args = slices.Clone(args)
			args[i] = filepath.Join(w.dir, args[i])
		}
	}
	// What the targets need has been built.
	line := append([]string{"-o", "build", "-o", "nomad", "-o", "setup", "-o", bin + "/e2e-device", "BIN=" + bin}, args...)
	enter := []string{
		"--mount", "--propagation", "private", "--", "sh", "-c",
		`mount --bind "$0/tmp" /tmp && mount --bind "$0/var-tmp" /var/tmp && cd "$1" && shift && exec make "$@"`, w.dir, "..",
	}
	w.cmd = exec.Command("unshare", append(enter, line...)...)
	w.cmd.Env = []string{"HARN_PROGRAMS_DIR=" + w.dir + "/programs"}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "HARN_KERNELTEST_") && !strings.HasPrefix(v, "AWS_CA_BUNDLE=") && !strings.HasPrefix(v, "TMPDIR=") {
			w.cmd.Env = append(w.cmd.Env, v)
		}
	}
	var out bytes.Buffer
	w.cmd.Stdout, w.cmd.Stderr = &out, &out
	w.cmd.WaitDelay = time.Second // what is left holds the pipe
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = w.cmd.Wait()
		close(w.ended)
	}()
	t.Cleanup(func() { // after a failure
		for _, p := range w.own() {
			_ = syscall.Kill(p.PID, syscall.SIGKILL)
		}
		<-w.ended
	})
	return &out
}

// own are the processes that were not there before.
func (w *workplace) own() (own []kerneltest.Process) {
	for _, p := range kerneltest.Processes() {
		if !w.before[describeProcess(p)] {
			own = append(own, p)
		}
	}
	return own
}

func describeProcess(p kerneltest.Process) string {
	return fmt.Sprintf("process %d: %s", p.PID, strings.Join(p.Args, " "))
}

// there is what an interrupt could leave, except for files.
func (w *workplace) there() map[string]bool {
	all := map[string]bool{}
	for _, p := range kerneltest.Processes() {
		all[describeProcess(p)] = true
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		all["mount "+line] = true
	}
	for _, pattern := range []string{"/sys/fs/cgroup/*/nomad", "/sys/fs/cgroup/nomad.slice"} {
		dirs, _ := filepath.Glob(pattern)
		for _, dir := range dirs {
			_ = filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
				if err == nil && entry.IsDir() {
					all["cgroup "+path] = true
				}
				return nil
			})
		}
	}
	for _, dir := range []string{"/run/netns", "/var/lib"} {
		entries, _ := os.ReadDir(dir)
		for _, entry := range entries {
			all["file "+filepath.Join(dir, entry.Name())] = true
		}
	}
	return all
}

func (w *workplace) checkNothingLeft(t *testing.T) {
	t.Helper()
	var left []string
	for range 100 { // processes that are being killed take a moment
		left = nil
		for what := range w.there() {
			if !w.before[what] {
				left = append(left, what)
			}
		}
		if len(left) == 0 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	for _, name := range []string{"tmp", "var-tmp"} {
		entries, err := os.ReadDir(filepath.Join(w.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			left = append(left, "file "+filepath.Join("/"+strings.ReplaceAll(name, "-", "/"), entry.Name()))
		}
	}
	for _, what := range left {
		t.Errorf("left: %s", what)
	}
}
