// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/audit"
	"github.com/burin-labs/nomad-driver-harn/landlock"
)

// auditVariable allows these tests to enable auditing on the machine. They must
// not be isolated: the kernel answers in its initial namespaces only. "make
// e2e-audit" runs them in VMs.
const auditVariable = "HARN_E2E_AUDIT"

// landlockAudit is the ABI since which the kernel logs denials by Landlock.
const landlockAudit = 7

func auditedClient(t *testing.T) *client {
	t.Helper()
	if os.Getenv(auditVariable) != "1" {
		t.Skip(`this test enables auditing on the machine: "make e2e-audit" runs it in VMs`)
	}
	a := newClient(t, shared.server, poolName(t), options{plugin: `denial_events = "enable"`})
	if got := a.find().Attributes["driver.harn.denial_events"]; got != "true" {
		t.Fatalf("driver.harn.denial_events = %q", got)
	}
	return a
}

// denied are the task's events that tell of denials.
func (j *job) denied() (events []string) {
	for _, e := range j.alloc.TaskStates[j.task()].Events {
		if strings.HasPrefix(e.DisplayMessage, "Harn denied ") {
			events = append(events, e.DisplayMessage)
		}
	}
	return events
}

// denials is the list of the task's denials, as "alloc fs" shows it; "" if the
// task was denied nothing.
func (j *job) denials() string {
	j.t.Helper()
	list := "alloc/logs/" + j.task() + ".denials.ndjson"
	if _, _, err := j.a.AllocFS().Stat(j.alloc, list, nil); err != nil && strings.Contains(err.Error(), "no such file") {
		return ""
	}
	r, err := j.a.AllocFS().Cat(j.alloc, list, nil)
	if err != nil {
		j.t.Fatalf("%v\n%s", err, j.events())
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		j.t.Fatal(err)
	}
	if _, err := audit.ReadLines(strings.NewReader(string(text))); err != nil {
		j.t.Errorf("%v in\n%s", err, text)
	}
	return string(text)
}

// The walk of the README: a job fails under a policy that is too narrow, "alloc
// status" and the task's log say why, "suggest" prints the change, and with it
// the job passes.
func TestDenialsWalk(t *testing.T) {
	a := auditedClient(t)
	abi, _ := landlock.Detect()
	models := "/srv/harn-e2e/models"
	if err := os.MkdirAll(models, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(filepath.Dir(models)) })
	if err := os.WriteFile(filepath.Join(models, "small"), []byte("a model\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	policy := `capability_policy {
          side_effect_level = "process_exec"
          workspace_roots   = ["local"]
        }`
	text := batch("denials-walk", script(fmt.Sprintf(`
		status=0
		cat %s/small || status=1
		ls /opt || status=1
		python3 -c 'import socket; socket.socket()' || status=1
		exit $status`, models), policy))

	j := a.run(t, text)
	if got := j.exited(); got != "Exit Code: 1" {
		t.Fatalf("%s\n%s", got, j.events())
	}
	told := strings.Join(j.denied(), "\n")
	if !strings.Contains(told, "the system call socket") || abi >= landlockAudit && !strings.Contains(told, "fs.read_dir /opt") || len(j.denied()) > 3 {
		t.Errorf("events:\n%s", j.events())
	}
	if before, _, _ := strings.Cut(j.events(), "Terminated"); !strings.Contains(before, "Harn denied") {
		t.Errorf("not reported before the task's end:\n%s", j.events())
	}

	dir := t.TempDir()
	files := map[string]string{"job.nomad.hcl": text, "denials.ndjson": j.denials(), "stderr": j.logs("stderr")}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(binary("nomad-driver-harn"), "suggest", "-job", "job.nomad.hcl", "-log", "stderr", "denials.ndjson")
	cmd.Dir = dir
	var errs strings.Builder
	cmd.Stderr = &errs
	block, err := cmd.Output()
	t.Logf("events:\n%s\ndenials:\n%s\nstderr:\n%s\nsuggested:\n%s%s", j.events(), files["denials.ndjson"], files["stderr"], block, errs.String())
	if err != nil {
		t.Fatalf("suggest: %v", err)
	}
	wider := strings.Replace(text, policy, string(block), 1)
	wider = strings.Replace(wider, "denials-walk", "denials-walk-wider", 1)
	if abi < landlockAudit { // the kernel says nothing of files: what the user must do alone
		wider = strings.Replace(wider, "read_only_roots = [", `read_only_roots = ["/opt",`, 1)
	}
	if j := a.run(t, wider); j.exited() != "Exit Code: 0" || len(j.denied()) != 0 {
		t.Errorf("stderr: %s\n%s", j.logs("stderr"), j.events())
	}
}

// Denials of a session, and of a task that is older than the plugin, are told,
// and are not taken for another task's.
func TestDenialsOfWhom(t *testing.T) {
	a := auditedClient(t)
	narrow := `capability_policy {
          side_effect_level = "process_exec"
        }`
	socket := `python3 -c 'import socket; socket.socket()'`
	one := a.submit(t, batch("denials-one", script(`while [ ! -e local/go ]; do sleep 0.1; done; mount -t tmpfs none /tmp; exit 0`, narrow))).untilRunning()
	other := a.submit(t, batch("denials-other", script(`while [ ! -e local/go ]; do sleep 0.1; done`, narrow))).untilRunning()
	if _, stderr, _ := one.exec(false, "", "sh", "-c", socket); !strings.Contains(stderr, "PermissionError") {
		t.Errorf("socket: %q", stderr)
	}
	eventually(t, "the session's denial is not listed", func() bool {
		r, err := a.AllocFS().Cat(one.alloc, "alloc/logs/t.denials.ndjson", nil)
		if err != nil {
			return false
		}
		defer r.Close()
		text, _ := io.ReadAll(r)
		return strings.Contains(string(text), `"socket"`)
	})
	plugin := a.plugin(t)
	kill(t, plugin)
	eventually(t, "the plugin was not started again", func() bool { return a.plugin(t) != plugin })
	release(t, a, other)
	other.untilDead()
	if _, _, code := one.exec(false, "", "true"); code != 0 {
		t.Errorf("exec: %d", code)
	}
	release(t, a, one)
	one.untilDead()
	if got := strings.Join(one.denied(), "\n"); !strings.Contains(got, "the system call mount") {
		t.Errorf("no mount:\n%s", one.events())
	}
	if got := one.denials(); !strings.Contains(got, `"mount"`) {
		t.Errorf("the list:\n%s", got)
	}
	// Bash itself tries a socket.
	if got := other.denials(); strings.Contains(got, `"mount"`) || strings.Contains(got, `"python3"`) {
		t.Errorf("of another task:\n%s", got)
	}
}

// A task has the kernel log what suits it: denials by a domain of its own, in a user
// namespace and a chroot where any path exists; a path of that chroot that the driver's
// domain denies; a call that its own filter denies. Nothing of it is told, and
// "suggest" opens nothing for it. What the driver denies beside it is told.
func TestDenialsAreNotForged(t *testing.T) {
	a := auditedClient(t)
	abi, _ := landlock.Detect()
	if abi < landlockAudit {
		t.Skip("this kernel logs nothing of Landlock's")
	}
	const forge = `
import ctypes, os, struct
libc = ctypes.CDLL(None, use_errno=True)
def must(result, what):
    if result < 0: raise OSError(ctypes.get_errno(), what)
    return result
must(libc.unshare(0x10000000), "unshare(CLONE_NEWUSER)")
os.chroot(os.environ["NOMAD_TASK_DIR"] + "/r")
def denied(path, mode):
    try: open(path, mode)
    except PermissionError as e: print("denied", path, mode)
    else: print("opened", path, mode)
denied("/root/.ssh/by_the_driver", "a")
attr = struct.pack("Q", 4) # read_file
ruleset = must(libc.syscall(444, attr, 8, 0), "landlock_create_ruleset")
must(libc.syscall(446, ruleset, 0), "landlock_restrict_self")
denied("/root/.ssh/by_the_task", "r")
# A filter that denies getppid, with its log.
class Program(ctypes.Structure):
    _fields_ = [("n", ctypes.c_ushort), ("code", ctypes.c_void_p)]
code = struct.pack("=HBBIHBBIHBBIHBBI", 0x20, 0, 0, 0, 0x15, 0, 1, 110, 0x06, 0, 0, 0x50001, 0x06, 0, 0, 0x7fff0000)
buffer = ctypes.create_string_buffer(code)
must(libc.syscall(317, 1, 2, ctypes.byref(Program(4, ctypes.addressof(buffer)))), "seccomp")
print("getppid", libc.syscall(110), flush=True)
`
	text := batch("denials-forged", script(`
		python3 "$NOMAD_TASK_DIR/forge.py" || exit 1
		python3 -c 'import os; os.listdir("/opt")'
		exit 0`, `capability_policy {
          side_effect_level = "process_exec"
          workspace_roots   = ["local"]
          capabilities {
            workspace = ["read_text"]
          }
        }`))
	var files strings.Builder
	for name, content := range map[string]string{"forge.py": forge, "r/root/.ssh/by_the_driver": "x", "r/root/.ssh/by_the_task": "x"} {
		fmt.Fprintf(&files, "template {\n  destination = %q\n  perms = \"666\"\n  data = <<EOT\n%s\nEOT\n}\n", "local/"+name, content)
	}
	at := strings.Index(text, "config {")
	if at < 0 {
		t.Fatal(text)
	}
	j := a.run(t, text[:at]+files.String()+text[at:])
	stdout := j.logs("stdout")
	for _, want := range []string{"denied /root/.ssh/by_the_driver a", "denied /root/.ssh/by_the_task r", "getppid -1"} {
		if !strings.Contains(stdout, want) {
			t.Fatalf("the task has not forged anything: no %q in\n%s%s\n%s", want, stdout, j.logs("stderr"), j.events())
		}
	}
	list := j.denials()
	told := strings.Join(j.denied(), "\n") + list
	t.Logf("%s", told)
	if !strings.Contains(told, "/opt") {
		t.Errorf("the true denial is not told:\n%s\n%s", told, j.events())
	}
	for _, forged := range []string{".ssh", "by_the_", "getppid"} {
		if strings.Contains(told, forged) {
			t.Errorf("%s is told:\n%s", forged, told)
		}
	}
	file := filepath.Join(t.TempDir(), "denials")
	if err := os.WriteFile(file, []byte(list), 0o644); err != nil {
		t.Fatal(err)
	}
	block, _ := exec.Command(binary("nomad-driver-harn"), "suggest", file).Output()
	if strings.Contains(string(block), ".ssh") || !strings.Contains(string(block), "/opt") {
		t.Errorf("suggested:\n%s", block)
	}
}
