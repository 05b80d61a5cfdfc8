// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/attempt"
	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

// cgo reports whether this test was built with it: then only the first thread
// of a supervisor can drop its capabilities. The driver is built without.
func cgo() bool {
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_GETPID, 0, 0, 0)
	return errors.Is(errno, unix.ENOTSUP)
}

// threads returns what /proc says of the threads of a process, the first one first.
func threads(t *testing.T, pid int) (all []map[string]string) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(files) == 0 {
		t.Fatalf("process %d has no threads: %v", pid, err)
	}
	slices.SortFunc(files, func(a, b string) int { return len(a) - len(b) })
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		status := map[string]string{}
		for line := range strings.Lines(string(text)) {
			key, value, _ := strings.Cut(line, ":")
			status[key] = strings.TrimSpace(value)
		}
		if status["Pid"] == status["Tgid"] {
			all = slices.Insert(all, 0, status)
		} else {
			all = append(all, status)
		}
	}
	return all
}

// What a supervisor keeps once its task runs, and a session.
func TestTrustedProcessesDropWhatTheyDoNotNeed(t *testing.T) {
	f := newFixture(t)
	t.Setenv("HARN_TEST_SECRET", "of the plugin")
	const kill, killAndPtrace = "0000000000000020", "0000000000080020"

	task := f.mustStart(f.plan("sleep 60"))
	shared := f.plan("sleep 60")
	shared.Isolation.HostPID = true
	inHostPID := f.mustStart(shared)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	session, err := task.Exec(t.Context(), f.plan("sleep 60").Process, [3]*os.File{w, w, w}, nil)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()

	// The sibling: this process, which is what they were started with.
	if me := threads(t, os.Getpid())[0]; me["CapEff"] == kill || me["NoNewPrivs"] != "0" || me["Seccomp"] != "0" {
		t.Fatalf("the tests run confined: %v", me)
	}
	for name, tc := range map[string]struct {
		pid          int
		capabilities string
		files        []string // how their names may begin
	}{
		"supervisor":                  {task.supervisor.PID, kill, []string{"/dev/null", f.dir + "/1/exit", "anon_inode:"}},
		"supervisor in the host's ns": {inHostPID.supervisor.PID, killAndPtrace, []string{"/dev/null", f.dir + "/2/exit", "anon_inode:"}},
		"session":                     {session.runner.PID, kill, []string{"/dev/null", "pipe:", "anon_inode:"}},
	} {
		all := threads(t, tc.pid)
		for i, status := range all {
			want := map[string]string{"NoNewPrivs": "1", "Seccomp": "2"}
			if i == 0 || !cgo() {
				want["CapEff"], want["CapPrm"], want["CapInh"], want["CapAmb"] = tc.capabilities, tc.capabilities, "0000000000000000", "0000000000000000"
			}
			for key, value := range want {
				if status[key] != value {
					t.Errorf("%s: thread %d of %d: %s %s, want %s", name, i+1, len(all), key, status[key], value)
				}
			}
		}
		dir := fmt.Sprintf("/proc/%d/fd", tc.pid)
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			file, err := os.Readlink(filepath.Join(dir, entry.Name()))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(tc.files, func(start string) bool { return strings.HasPrefix(file, start) }) {
				t.Errorf("%s holds %s as descriptor %s", name, file, entry.Name())
			}
		}
		want := environment
		if name == "session" {
			want = sessionEnvironment
		}
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", tc.pid))
		if err != nil || string(environ) != strings.Join(want, "\x00")+"\x00" {
			t.Errorf("%s: environment %q, %v, want %q", name, environ, err, want)
		}
	}
	// And they still do what they are for.
	session.Kill()
	if exit, err := session.Wait(); err != nil || exit.Signal != int(unix.SIGKILL) {
		t.Errorf("session: %+v, %v", exit, err)
	}
	for _, task := range []*running{task, inHostPID} {
		_ = task.Kill()
		if exit, err := task.Exit(); err != nil || exit.Signal != int(unix.SIGKILL) {
			t.Errorf("task: %+v, %v", exit, err)
		}
	}
}

// secrets are the files of /proc/PID that only those may read who may ptrace it.
const secrets = "environ maps mem auxv stack syscall exe cwd root fd/0 fd/3 ns/pid"

// The task cannot look into its supervisor: by another user, as root without
// capabilities, and without any confinement either.
func TestTaskSeesNothingOfItsSupervisor(t *testing.T) {
	f := newFixture(t)
	// readlink is for links, head for files; either must fail.
	look := func(pid string) string {
		return `
			for file in ` + secrets + `; do
				{ readlink /proc/` + pid + `/$file || head -c 1 /proc/` + pid + `/$file; } > /dev/null 2>&1 && echo "read $file"
			done
			ls /proc/` + pid + `/fd /proc/` + pid + `/map_files 2> /dev/null | grep -q . && echo "read fd"
			true`
	}
	for _, uid := range []uint32{nobody, 0} {
		for _, confined := range []bool{true, false} {
			for _, host := range []bool{false, true} {
				name := fmt.Sprintf("user %d, confined %v, PIDs of the host %v", uid, confined, host)
				supervisor, want := "1", ""
				plan := f.plan("")
				if host {
					supervisor = "$PPID"
					plan.Isolation.HostPID = true
					for i := range plan.Isolation.Mounts {
						if m := &plan.Isolation.Mounts[i]; m.Type == Proc {
							*m = Mount{Type: Bind, Source: "/proc", Target: "/proc", Create: true, KernelFiles: true}
						}
					}
					want = "seen\n" // by its name, as all others
					if uid == 0 {
						want += "read fd\n" // the numbers, which their owner may list
					}
				}
				// The sibling: of itself it sees what there is.
				plan.Process.Args[2] = `[ -e /proc/` + supervisor + `/stat ] && echo seen` + look(supervisor) + `; echo self` + look("self")
				plan.Confinement.User = User{UID: uid, GID: uid}
				if !confined {
					plan.Confinement.Ruleset, plan.Confinement.Filter = nil, nil
				}
				out, exit := f.run(plan)
				above, self, _ := strings.Cut(out, "self\n")
				if exit.Code != 0 || above != want {
					t.Errorf("%s: exit %+v, of the supervisor: %q, want %q", name, exit, above, want)
				}
				for _, file := range []string{"environ", "maps", "exe", "cwd", "fd/0"} {
					if !strings.Contains(self, "read "+file+"\n") {
						t.Errorf("%s: of itself: %q, want %s in it", name, self, file)
					}
				}
			}
		}
	}
}

func TestSupervisorCannotBeTraced(t *testing.T) {
	f := newFixture(t)
	task := f.mustStart(f.plan("sleep 60"))
	seize := func(pid, uid int) string {
		return kerneltest.Try(t, kerneltest.Confinement{UID: uid}, attempt.New("seize", strconv.Itoa(pid)))[0]
	}
	supervisor := task.supervisor.PID
	if got := seize(supervisor, nobody); got != "EPERM" {
		t.Errorf("the task's user, of the supervisor: %s, want EPERM", got)
	}
	if got := seize(task.PID(), nobody); got != attempt.OK {
		t.Errorf("the task's user, of the task: %s, want OK", got)
	}
	if got := seize(supervisor, 0); got != attempt.OK {
		t.Errorf("root, of the supervisor: %s, want OK", got)
	}
}

func TestStateDirectoryIsRootsAlone(t *testing.T) {
	f := newFixture(t)
	plan := f.plan("ls -d " + f.dir + " " + f.dir + "/1 2> /dev/null || ls -d " + f.workspace)
	out, _ := f.run(plan)
	if out != f.workspace+"\n" {
		t.Errorf("the task sees %q, want the workspace only", out)
	}
	err := filepath.WalkDir(f.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok || st.Uid != 0 || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v of user %d, want nothing for others than root", path, info.Mode(), st.Uid)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// A key in the agent's session keyring is out of reach for tasks and sessions;
// the sibling is a process that is started as theirs are, without their setup.
func TestSessionKeyringIsTheTasksOwn(t *testing.T) {
	f := newFixture(t)
	if _, err := os.Stat("/proc/keys"); err != nil {
		kerneltest.Missing(t, "this kernel has no keyrings: %v", err)
	}
	const key = "harn-executor-test-key"
	runtime.LockOSThread() // keyrings are a thread's; it ends with the test
	if _, err := unix.KeyctlJoinSessionKeyring("harn-executor-test"); err != nil {
		kerneltest.Missing(t, "no session keyring here: %v", err)
	}
	if _, err := unix.AddKey("user", key, []byte("secret"), unix.KEY_SPEC_SESSION_KEYRING); err != nil {
		t.Fatal(err)
	}
	sibling := exec.Command("cat", "/proc/keys")
	sibling.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if out, err := sibling.Output(); err != nil || !strings.Contains(string(out), key) {
		t.Fatalf("the key is not in reach of a child: %v\n%s", err, out)
	}
	const script = "cat /proc/keys; echo end"
	out, _ := f.run(f.plan(script))
	if strings.Contains(out, key) || !strings.Contains(out, "keyring   _ses: empty\n") || !strings.HasSuffix(out, "end\n") {
		t.Errorf("a task sees these keys, want an empty session keyring:\n%s", out)
	}
	task := f.mustStart(f.plan("sleep 60"))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	session, err := task.Exec(t.Context(), f.plan(script).Process, [3]*os.File{w, w, w}, nil)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 4096)
	n, _ := r.Read(text)
	if _, err := session.Wait(); err != nil || n == 0 || strings.Contains(string(text[:n]), key) {
		t.Errorf("a session sees these keys: %v\n%s", err, text[:n])
	}
}

func TestMountsDoNotLeaveTheRoot(t *testing.T) {
	f := newFixture(t)
	for _, target := range []string{"/../harn-outside", "/dev/../../harn-outside/x"} {
		plan := f.plan("true")
		plan.Isolation.Mounts = append(plan.Isolation.Mounts, Mount{Type: Tmpfs, Target: target, Create: true})
		if _, err := f.start(plan); err == nil || !strings.Contains(err.Error(), "mounting tmpfs on "+target) {
			t.Errorf("%s: %v, want an error that names it", target, err)
		}
	}
	plan := f.plan("stat -c %A /dev/inside")
	plan.Isolation.Mounts = append(plan.Isolation.Mounts, Mount{Type: Tmpfs, Target: "/dev/inside", Create: true})
	if out, _ := f.run(plan); out != "drwxrwxrwt\n" {
		t.Errorf("the sibling within the root: %q", out)
	}
}
