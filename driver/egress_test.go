// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/nomad/structs"
	"github.com/hashicorp/nomad/plugins/drivers"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/audit"
	"github.com/burin-labs/nomad-driver-harn/egress"
	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
	"github.com/burin-labs/nomad-driver-harn/internal/nettest"
	"github.com/burin-labs/nomad-driver-harn/policy"
	"github.com/burin-labs/nomad-driver-harn/sandbox"
)

// egressHarness is a driver on a node where the names are 127.0.0.1.
func egressHarness(t *testing.T, change func(*Config), names ...string) *harness {
	t.Helper()
	if !carried {
		t.Skip("forwarders need the program that the plugin carries")
	}
	h := newHarness(t, change)
	if err := egress.Works(); err != nil {
		t.Skip(err)
	}
	nettest.File(t, "/etc/hosts", "127.0.0.1 localhost "+strings.Join(names, " ")+"\n")
	return h
}

func withEgress(script string, e *policy.Egress) TaskConfig {
	c := sh(script)
	c.Policy = &policy.Policy{SandboxProfile: "os_hardened", SideEffectLevel: "network", Extensions: policy.Extensions{Egress: e, EgressLog: true}}
	return c
}

func TestEgressDecodes(t *testing.T) {
	task, err := parseTask(t, `command = "/bin/true"
capability_policy {
	egress {
		default       = "deny"
		allow         = ["api.openai.com:443", "*.npmjs.org"]
		deny          = ["evil.npmjs.org"]
		block_private = false
	}
	egress_log = true
}`)
	want := policy.Extensions{Egress: &policy.Egress{
		Default: "deny", Allow: []string{"api.openai.com:443", "*.npmjs.org"}, Deny: []string{"evil.npmjs.org"}, BlockPrivate: new(false),
	}, EgressLog: true}
	if err != nil || !reflect.DeepEqual(task.Policy.Extensions, want) {
		t.Errorf("got %+v, %v", task, err)
	}
	for text, part := range map[string]string{
		`egress { allow = ["*"] }`:                                         "leave the block egress out",
		`egress { allow = ["example.com:99999"] }`:                         "expected 1 to 65535", // and nothing that admits other ports
		`egress { default = "maybe" }`:                                     `egress.default: "maybe"`,
		`egress { deny = ["https://"] }`:                                   "egress.deny[0]",
		"side_effect_level = \"process_exec\"\negress { }":                 "has no network",
		"sandbox_profile = \"unrestricted\"\negress { allow = [\"a.b\"] }": "limits nothing under",
		"egress_log = true":                                                "no egress block",
	} {
		task, err := parseTask(t, "command = \"/bin/true\"\ncapability_policy {\n"+text+"\n}")
		if err == nil {
			err = task.Complete(&sandbox.Settings{})
		}
		wantError(t, text, err, part)
	}
}

func TestEgress(t *testing.T) {
	h := egressHarness(t, nil, "api.example.com", "pypi.org")
	events, err := h.TaskEvents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	port := nettest.Hello(t)
	get := func(host string) string {
		return fmt.Sprintf("curl -s --max-time 60 http://%s:%d/ || echo %s $?\n", host, port, host)
	}
	cfg := h.task(withEgress(get("api.example.com")+get("pypi.org")+get("pypi.org")+get("127.0.0.1")+get("1.1.1.1")+"echo $HARN_EGRESS_ALLOW; read -t 100 < <(sleep 100)", &policy.Egress{
		Allow: []string{fmt.Sprintf("api.example.com:%d", port), fmt.Sprintf("127.0.0.1:%d", port)},
	}))
	h.start(cfg)
	want := fmt.Sprintf("hello api.example.com:%[1]d\npypi.org 6\npypi.org 6\n127.0.0.1 7\n1.1.1.1 7\napi.example.com:%[1]d,127.0.0.1:%[1]d\n", port)
	if out := h.log(cfg, "stdout", ",127.0.0.1:"); out != want {
		t.Errorf("%q, expected %q", out, want)
	}
	// Sessions are in the same network.
	for host, want := range map[string]string{"api.example.com": "hello", "pypi.org": "pypi.org 6"} {
		result, err := h.driver.ExecTask(cfg.ID, []string{"/bin/bash", "-c", get(host)}, time.Minute)
		if err != nil || !strings.Contains(string(result.Stdout), want) {
			t.Errorf("session: %+v, %v, expected %q", result, err, want)
		}
	}
	// So is what a plugin does that has found the task again.
	if err := h.driver.StopTask(cfg.ID, 0, "SIGKILL"); err != nil {
		t.Fatal(err)
	}
	h.wait(cfg.ID)
	denied, messages := false, []string{}
	for deadline := time.After(time.Minute); !denied; {
		select {
		case e := <-events:
			messages = append(messages, e.Message)
			denied = strings.Contains(e.Message, "Harn denied egress to pypi.org")
		case <-deadline:
			t.Fatalf("no event of what was denied: %q", messages)
		}
	}
	file, err := os.Open(filepath.Join(cfg.TaskDir().LogDir, "t.denials.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines, err := audit.ReadLines(file)
	if err != nil || len(lines) == 0 || lines[0].Kind != audit.Egress || lines[0].Host != "pypi.org" || lines[0].Reason != "no allow rule matched" {
		t.Errorf("%+v (%v)", lines, err)
	}
	log, err := os.ReadFile(filepath.Join(cfg.TaskDir().LogDir, "t.egress.ndjson"))
	if err != nil || !strings.Contains(string(log), `"name":"api.example.com","address":"127.0.0.1","port":`) ||
		!strings.Contains(string(log), `"connected":true,"open":true`) || !strings.Contains(string(log), `"duration":`) {
		t.Errorf("connections: %q (%v)", log, err)
	}
}

// A running task reaches a name by what the node's files say now, whoever replaces them.
func TestEgressFollowsTheNodesNames(t *testing.T) {
	h := egressHarness(t, nil, "other.example.com")
	port := nettest.Hello(t)
	cfg := h.task(withEgress(fmt.Sprintf(`get() { curl -s --max-time 60 http://new.example.com:%d/; }
		get && exit 1; echo no; for i in $(seq 100); do get && break; sleep 0.1; done; sleep 100`, port), &policy.Egress{
		Allow: []string{fmt.Sprintf("new.example.com:%d", port), "127.0.0.1"},
	}))
	h.start(cfg)
	h.log(cfg, "stdout", "no\n")
	nettest.File(t, "/etc/hosts", "127.0.0.1 localhost new.example.com\n")
	h.log(cfg, "stdout", "no\nhello")
}

// What a forwarder tells while there is no plugin, the next one reports.
func TestEgressOutlivesThePlugin(t *testing.T) {
	h := egressHarness(t, nil, "api.example.com")
	port := nettest.Hello(t)
	cfg := h.task(withEgress(fmt.Sprintf(`until [ -e local/go ]; do sleep 0.05; done
		curl -s --max-time 60 http://api.example.com:%[1]d/; curl -s http://pypi.org/; echo end; sleep 100`, port), &policy.Egress{
		Allow: []string{fmt.Sprintf("api.example.com:%d", port), fmt.Sprintf("127.0.0.1:%d", port)},
	}))
	handle := h.start(cfg)
	h.Kill()
	if err := os.WriteFile(filepath.Join(cfg.TaskDir().LocalDir, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	h.log(cfg, "stdout", "end")
	h.connect()
	if err := h.RecoverTask(handle); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(cfg.TaskDir().LogDir, "t.denials.ndjson")
	for range 1200 {
		if text, _ := os.ReadFile(file); strings.Contains(string(text), "pypi.org") {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Error("what was denied while there was no plugin is not listed")
}

func TestEgressAndPorts(t *testing.T) {
	kerneltest.Landlock(t, 4)
	h := egressHarness(t, nil, "api.example.com")
	open, closed := nettest.Hello(t), nettest.Hello(t)
	c := withEgress(fmt.Sprintf("curl -s http://api.example.com:%d/; curl -s http://api.example.com:%d/; echo $?", open, closed), &policy.Egress{
		Allow: []string{"api.example.com", "127.0.0.1"},
	})
	c.Policy.TCPConnect = []int{open}
	// The task may connect to its name server, and to nobody else's.
	server, err := net.Listen("tcp", "127.0.0.1:53")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("a name server\n"))
			conn.Close()
		}
	}()
	c.Args[len(c.Args)-1] += `; exec 3<>/dev/tcp/api.example.com/53 && cat <&3; echo end`
	cfg := h.task(c)
	h.start(cfg)
	h.wait(cfg.ID)
	if out, want := h.log(cfg, "stdout", "end\n"), fmt.Sprintf("hello api.example.com:%d\n7\nend\n", open); out != want {
		t.Errorf("%q, expected %q", out, want)
	}
	c.Policy.TCPConnect = []int{open, 53}
	cfg = h.task(c)
	h.start(cfg)
	h.wait(cfg.ID)
	if out, want := h.log(cfg, "stdout", "end\n"), fmt.Sprintf("hello api.example.com:%d\n7\na name server\nend\n", open); out != want {
		t.Errorf("with port 53: %q, expected %q", out, want)
	}
}

func TestEgressPublishesPorts(t *testing.T) {
	h := egressHarness(t, nil)
	port := nettest.FreePort(t)
	cfg := h.task(withEgress(fmt.Sprintf("exec python3 -u -m http.server --bind 127.0.0.1 %d", port), &policy.Egress{}))
	cfg.Resources.Ports = &structs.AllocatedPorts{{Label: "http", Value: port, HostIP: "127.0.0.1"}}
	h.start(cfg)
	for range 1200 {
		if r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", port)); err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Error("the published port does not lead to the task")
}

func TestEgressIsRefused(t *testing.T) {
	h := egressHarness(t, func(c *Config) {
		c.EgressRequired = true
		c.AllowCaps = []string{"net_admin"}
		c.Ceiling = &policy.Policy{Extensions: policy.Extensions{Egress: &policy.Egress{Allow: []string{"*.example.com:443"}, Deny: []string{"evil.example.com"}}}}
	})
	admitted := &policy.Egress{Allow: []string{"api.example.com:443"}}
	for _, c := range []struct {
		name   string
		change func(*drivers.TaskConfig, *TaskConfig)
		part   string
	}{
		{"admitted", func(*drivers.TaskConfig, *TaskConfig) {}, ""},
		{"beyond", func(_ *drivers.TaskConfig, c *TaskConfig) {
			c.Policy.Egress = &policy.Egress{Allow: []string{"pypi.org:443"}}
		}, `egress.allow: "pypi.org:443" exceed the operator's ceiling (allow = ["*.example.com:443"]`},
		{"port", func(_ *drivers.TaskConfig, c *TaskConfig) {
			c.Policy.Egress = &policy.Egress{Allow: []string{"api.example.com"}}
		}, "exceed the operator's ceiling"},
		{"all", func(_ *drivers.TaskConfig, c *TaskConfig) { c.Policy.Egress = &policy.Egress{Default: "allow"} }, "egress.default"},
		{"private", func(_ *drivers.TaskConfig, c *TaskConfig) { c.Policy.Egress = &policy.Egress{BlockPrivate: new(false)} }, "egress.block_private"},
		{"bridge", func(n *drivers.TaskConfig, _ *TaskConfig) {
			n.NetworkIsolation = &drivers.NetworkIsolationSpec{Path: "/proc/self/ns/net"}
		}, `use network { mode = "host" }`},
		{"dns", func(n *drivers.TaskConfig, _ *TaskConfig) { n.DNS = &drivers.DNSConfig{Servers: []string{"1.1.1.1"}} }, "dns block"},
		{"net_admin", func(_ *drivers.TaskConfig, c *TaskConfig) {
			c.Policy.SandboxProfile, c.CapAdd = "worktree", []string{"net_admin"}
		}, "cap_add: net_admin"},
	} {
		config := withEgress("true", admitted)
		cfg := h.task(config)
		c.change(cfg, &config)
		if err := cfg.EncodeConcreteDriverConfig(&config); err != nil {
			t.Fatal(err)
		}
		_, _, err := h.StartTask(cfg)
		if c.part == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			_ = h.driver.DestroyTask(cfg.ID, true)
			continue
		}
		wantError(t, c.name, err, c.part)
	}
	// A job without a block has the ceiling's.
	cfg := h.task(TaskConfig{Command: "/bin/bash", Args: []string{"-c", "echo $HARN_EGRESS_ALLOW $HARN_EGRESS_DENY end"}})
	h.start(cfg)
	h.log(cfg, "stdout", "*.example.com:443 evil.example.com end")
}

func TestEgressIsRequired(t *testing.T) {
	h := egressHarness(t, func(c *Config) { c.EgressRequired = true })
	_, _, err := h.StartTask(h.task(sh("true")))
	wantError(t, "no block", err, "egress_required")
	for _, all := range []*policy.Egress{{Default: "allow"}, {Allow: []string{"a.example.com:443", "0.0.0.0/0"}}, {Allow: []string{"[::/0]:443"}}, {Allow: []string{"0.0.0.0/1", "128.0.0.0/1"}}, {Allow: []string{"2000::/3"}}} {
		open := sh("true")
		open.Policy = &policy.Policy{Extensions: policy.Extensions{Egress: all}}
		_, _, err := h.StartTask(h.task(open))
		wantError(t, fmt.Sprint(*all), err, "egress_required", "names none")
	}
	named := sh("true")
	named.Policy = &policy.Policy{Extensions: policy.Extensions{Egress: &policy.Egress{Allow: []string{"a.example.com:443", "10.0.0.0/8"}}}}
	h.start(h.task(named))
	c := sh("true")
	c.Policy = &policy.Policy{SideEffectLevel: "process_exec"}
	h.start(h.task(c)) // it has no network
}

// A node that had no memory for a network at its boot can have it later.
func TestEgressIsTriedAgain(t *testing.T) {
	d := New(t.Context(), testLogger(t))
	tries := 0
	d.egress.try = func() error {
		if tries++; tries == 1 {
			return unix.ENOMEM
		}
		return nil
	}
	if first, second, third := d.egressWorks(), d.egressWorks(), d.egressWorks(); first || !second || !third || tries != 2 {
		t.Errorf("works: %t, %t, %t, found out by %d tries", first, second, third, tries)
	}
}
