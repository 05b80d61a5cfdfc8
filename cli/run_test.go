// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

// Variables by which this test binary is the command line instead.
const (
	commandLineVariable  = "HARN_CLI_TEST"
	noNamespacesVariable = "HARN_CLI_TEST_NO_NAMESPACES"
)

func TestMain(m *testing.M) {
	if os.Getenv(commandLineVariable) == "" {
		os.Exit(m.Run())
	}
	if os.Getenv(noNamespacesVariable) != "" {
		if err := denyNamespaces(); err != nil {
			panic(err)
		}
	}
	os.Exit(Main(os.Args[1:]))
}

// denyNamespaces makes this process one that cannot have a user namespace.
func denyNamespaces() error {
	arch, err := seccomp.Native()
	if err != nil {
		return err
	}
	program, err := seccomp.Compile(arch, seccomp.Combine(seccomp.Hardened))
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	return seccomp.InstallAll(program)
}

// place is a directory of user nobody with a policy in it.
func place(t *testing.T, policy string) string {
	t.Helper()
	kerneltest.Root(t)
	kerneltest.Landlock(t, 1)
	kerneltest.Seccomp(t)
	dir, err := os.MkdirTemp("/var/tmp", "harn-run-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, name := range []string{"", "inner"} {
		path := filepath.Join(dir, name)
		_ = os.Mkdir(path, 0o755)
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "p.json"), []byte(policy), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// callRun runs the command line in a process of its own: as root, as nobody,
// or as nobody without user namespaces.
func callRun(t *testing.T, dir, who string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	return callRunOf(dir, who, append([]string{"-policy", "p.json"}, args...)...)
}

// callRunOf is callRun without a policy.
func callRunOf(dir, who string, args ...string) (status int, stdout, stderr string) {
	cmd := commandLine(dir, who, append([]string{"run"}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Stdin = &out, &errs, strings.NewReader("input\n")
	_ = cmd.Run()
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func runCommand(dir, who string, args ...string) *exec.Cmd {
	return commandLine(dir, who, append([]string{"run", "-policy", "p.json"}, args...)...)
}

func commandLine(dir, who string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Dir = dir
	cmd.Env = []string{commandLineVariable + "=1", "PATH=/usr/bin:/bin", "SECRET=mine"}
	if who != "root" {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	if who == "nobody-alone" {
		cmd.Env = append(cmd.Env, noNamespacesVariable+"=1")
	}
	return cmd
}

var everybody = []string{"root", "nobody", "nobody-alone"}

// What a policy denies is denied, whoever runs; what stands beside it works.
func TestRunConfines(t *testing.T) {
	dir := place(t, `{"side_effect_level":"process_exec"}`)
	private := func() []string { // of all runs, also of those that were killed
		found, _ := filepath.Glob(filepath.Join(os.TempDir(), "harn-run-[0-9]*"))
		return found
	}
	for _, who := range everybody {
		before := private()
		status, out, errs := callRun(t, dir, who, "--", "bash", "-c", `
			cat; pwd; id -u
			echo x > file && echo writes
			echo x > "$TMPDIR/file" && echo tmp
			cat /etc/hostname > /dev/null && echo reads
			echo x > /etc/harn-run-test || echo etc denied
			cat /var/lib/dpkg/status > /dev/null || echo var denied
			(exec 3<>/dev/tcp/127.0.0.1/9) 2>&1 | grep -q 'not permitted' && echo network denied
			[ -z "$SECRET" ] && echo no secret
			grep -q 'CapEff:.0000000000000000' /proc/self/status && echo no capability
			exit 7`)
		want := "input\n" + dir + "\n65534\nwrites\ntmp\nreads\netc denied\nvar denied\nnetwork denied\nno secret\nno capability\n"
		if status != 7 || out != want {
			t.Errorf("%s: %d\n%s\nwant\n%s\n%s", who, status, out, want, errs)
		}
		hidden := !strings.Contains(errs, "a root of its own")
		if hidden == (who == "nobody-alone") {
			t.Errorf("%s: what is not applied is said to be:\n%s", who, errs)
		}
		if left := private(); !slices.Equal(left, before) {
			t.Errorf("%s: left behind: %v", who, left)
		}
		os.Remove(filepath.Join(dir, "file"))
	}
}

// Started by root, the command is another user than who made its descriptors. It opens
// them by name, as scripts and entry points do, whether they are pipes or files. A file
// keeps its owner and mode, and all that was written is in it at the end.
func TestRunOpensDescriptorsByName(t *testing.T) {
	dir := place(t, `{"side_effect_level":"process_exec"}`)
	file := filepath.Join(dir, "out")
	const script = "set -e; cat /dev/stdin; echo out > /dev/stdout; echo err > /dev/stderr; echo both | tee /dev/stderr; seq 100000"
	for _, one := range []bool{false, true} {
		cmd := runCommand(dir, "root", "-quiet", "--", "bash", "-c", script)
		out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		var errs bytes.Buffer
		in, typed, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		_, _ = typed.WriteString("typed\n")
		typed.Close()
		cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, &errs
		want, wantErrs := "typed\nout\nboth\n1\n", "err\nboth\n"
		if one {
			cmd.Stderr = out
			want, wantErrs = "typed\nout\nerr\nboth\nboth\n1\n", ""
		}
		status := cmd.Run()
		in.Close()
		info, err := out.Stat()
		out.Close()
		if status != nil || err != nil || info.Mode().Perm() != 0o600 || info.Sys().(*syscall.Stat_t).Uid != 0 {
			t.Errorf("one file: %v: %v, %v", one, status, err)
		}
		text, _ := os.ReadFile(file)
		if !strings.HasPrefix(string(text), want) || !strings.HasSuffix(string(text), "\n100000\n") || errs.String() != wantErrs {
			t.Errorf("one file: %v: %.100q ..., %q, want %q, %q", one, text, errs.String(), want, wantErrs)
		}
	}
}

func TestRunStatuses(t *testing.T) {
	dir := place(t, `{}`)
	for _, who := range everybody {
		for _, tc := range []struct {
			args   []string
			status int
			stderr string
		}{
			{[]string{"-quiet", "--", "true"}, 0, ""},
			{[]string{"-quiet", "--", "false"}, 1, ""},
			{[]string{"-quiet", "--", "sh", "-c", "kill -TERM $$"}, 143, ""},
			{[]string{"--", "no-such"}, 127, "was not found in local/"},
			{[]string{"--", "/etc/passwd"}, 126, "is not executable"},
			{[]string{"-user", "root", "--", "true"}, 125, "user: \"root\""},
			{[]string{}, 125, "give a command"},
		} {
			status, _, errs := callRun(t, dir, who, tc.args...)
			if status != tc.status || !strings.Contains(errs, tc.stderr) || tc.stderr == "" && errs != "" {
				t.Errorf("%s %q: %d\n%s", who, tc.args, status, errs)
			}
		}
	}
}

// Directories within directories, more of them than there may be open files, stay: somebody
// has to know.
func TestRunSaysWhatItCannotRemove(t *testing.T) {
	dir := place(t, `{}`)
	temporary := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const files = "300"
	cmd := runCommand(dir, "root", "-quiet", "--", "sh", "-c", "cd /tmp; i=0; while [ $i -lt 400 ]; do mkdir d && cd d && i=$((i+1)); done")
	cmd.Args = append([]string{"prlimit", "--nofile=" + files + ":" + files, self}, cmd.Args[1:]...)
	cmd.Path = "/usr/bin/prlimit"
	cmd.Env = append(cmd.Env, "TMPDIR="+temporary)
	out, err := cmd.CombinedOutput()
	left, _ := os.ReadDir(temporary)
	if said := strings.Contains(string(out), "could not be removed"); err != nil || said != (len(left) > 0) || !said {
		t.Errorf("%v, %q, left %v", err, out, left)
	}
}

func TestRunRefuses(t *testing.T) {
	for policy, want := range map[string]string{
		`{"sandbox_profle":"worktree"}`:         `unknown field "sandbox_profle"`,
		`{"workspace_roots":["/nowhere"]}`:      "does not exist",
		`{"min_landlock_abi":99}`:               "min_landlock_abi = 99 needs Landlock ABI 99",
		`{"workspace_roots":["/tmp"]}`:          "the task has a private one",
		`{"side_effect_level":"no such level"}`: "no such level",
	} {
		dir := place(t, policy)
		for _, who := range everybody {
			if status, _, errs := callRun(t, dir, who, "--", "true"); status != 125 || !strings.Contains(errs, want) {
				t.Errorf("%s %s: %d\n%s", who, policy, status, errs)
			}
		}
	}
}

// A read-only root in a writable one is kept by a mount and by Landlock, or it is
// refused. The directories beside it can be written.
func TestRunReadOnlyInWorkspace(t *testing.T) {
	dir := place(t, `{"read_only_roots":["inner"]}`)
	beside := filepath.Join(dir, "beside")
	if err := errors.Join(os.Mkdir(beside, 0o755), os.Chown(beside, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	for _, who := range everybody {
		status, out, errs := callRun(t, dir, who, "--", "sh", "-c", "touch beside/ok && echo outer; touch inner/x || echo inner denied")
		switch {
		case who == "nobody-alone" && (status != 125 || !strings.Contains(errs, "only a mount could keep it read-only")):
			t.Errorf("%s: %d\n%s%s", who, status, out, errs)
		case who != "nobody-alone" && out != "outer\ninner denied\n":
			t.Errorf("%s: %d\n%s%s", who, status, out, errs)
		}
	}
}

// The first job of the README and the examples leave what they write in the task's
// directories, and start where they may write.
func TestExamplesWriteWhereTheySay(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	first := regexp.MustCompile("(?s)```hcl\n(job \"hello\" .*?)```").FindSubmatch(readme)
	if first == nil {
		t.Fatal("README.md has no first job")
	}
	example := func(name string) string {
		text, err := os.ReadFile("../example/" + name + ".nomad.hcl")
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for name, tc := range map[string]struct{ job, result, says string }{
		"README": {string(first[1]), "local/greeting", "hello\ndenied\n"},
		"writer": {example("writer"), "local/report", "nothing else can be written\n"},
	} {
		for _, who := range []string{"root", "nobody"} {
			dir := place(t, `{}`)
			for _, name := range []string{"local", "data"} {
				if err := errors.Join(os.Mkdir(filepath.Join(dir, name), 0o777), os.Chmod(filepath.Join(dir, name), 0o777)); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(dir, "x.nomad.hcl"), []byte(tc.job), 0o644); err != nil {
				t.Fatal(err)
			}
			status, stdout, stderr := callRunOf(dir, who, "-job", "x.nomad.hcl")
			if status != 0 || !strings.Contains(stdout, tc.says) {
				t.Errorf("%s as %s: %d %s%s", name, who, status, stdout, stderr)
			}
			if text, err := os.ReadFile(filepath.Join(dir, tc.result)); err != nil || len(text) == 0 {
				t.Errorf("%s as %s: %q, %v", name, who, text, err)
			}
			// Beside what the policy names, it writes where it starts, and leaves nothing.
			status, stdout, stderr = callRunOf(dir, who, "-job", "x.nomad.hcl", "--", "/bin/sh", "-c", "pwd; echo x > made && cat made")
			if status != 0 || stdout != dir+"\nx\n" {
				t.Errorf("%s as %s: %d %s%s", name, who, status, stdout, stderr)
			}
			if _, err := os.Lstat(filepath.Join(dir, "made")); err == nil {
				t.Errorf("%s as %s: what it has made beside its roots is in the directory", name, who)
			}
		}
	}
}

// A network of the task's own takes root: without, sockets would be in the host's.
func TestRunRefusesAnOwnNetworkWithoutRoot(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("HOST\n"))
			_ = conn.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	reach := []string{"--", "bash", "-c", "cat < /dev/tcp/127.0.0.1/" + port + " || echo out of reach"}
	for field, policy := range map[string]string{
		"process_sandbox.allow_tcp_loopback": `{"side_effect_level": "process_exec", "process_sandbox": {"allow_tcp_loopback": true}}`,
		"egress":                             `{"side_effect_level": "network", "egress": {"allow": ["example.com:443"]}}`,
	} {
		dir := place(t, policy)
		for _, who := range []string{"nobody", "nobody-alone"} {
			if status, out, errs := callRun(t, dir, who, reach...); status != 125 || out != "" || !strings.Contains(errs, field+": it takes root") {
				t.Errorf("%s: %s: %d %q\n%s", field, who, status, out, errs)
			}
		}
		if field == "egress" {
			continue // as root: see package egress
		}
		if status, out, errs := callRun(t, dir, "root", reach...); status != 0 || out != "out of reach\n" {
			t.Errorf("%s: root: %d %q\n%s", field, status, out, errs)
		}
	}
	// Without a policy the listener is in reach: it is there.
	dir := place(t, `{}`)
	if status, out, errs := callRun(t, dir, "nobody-alone", reach...); status != 0 || out != "HOST\n" {
		t.Errorf("with the network: %d %q\n%s", status, out, errs)
	}
}
