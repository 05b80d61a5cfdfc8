// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/hashicorp/hcl"
	"github.com/hashicorp/nomad/plugins/drivers"

	"github.com/burin-labs/nomad-driver-harn/policy"
	"github.com/burin-labs/nomad-driver-harn/sandbox"
)

// In each list of a ceiling, absent and empty stay apart on the way from the
// agent's file to where jobs are compared with it, and to what the node says.
func TestCeilingKeepsEmptyApartFromAbsent(t *testing.T) {
	t.Setenv(sandbox.FallbackVariable, "")
	type texts struct{ hcl, json string }
	for _, field := range []struct {
		name, attribute string
		value           func(*policy.Policy) any
		empty, one      any
		texts           [2]texts // of empty and of one
		says            string   // of one
	}{
		{
			"workspace_roots", "workspace_roots", func(p *policy.Policy) any { return p.WorkspaceRoots },
			[]string{},
			[]string{"/srv"},
			[2]texts{{`workspace_roots = []`, `"workspace_roots": []`}, {`workspace_roots = ["/srv"]`, `"workspace_roots": ["/srv"]`}},
			"/srv",
		},
		{
			"read_only_roots", "read_only_roots", func(p *policy.Policy) any { return p.ReadOnlyRoots },
			[]string{},
			[]string{"/srv"},
			[2]texts{{`read_only_roots = []`, `"read_only_roots": []`}, {`read_only_roots = ["/srv"]`, `"read_only_roots": ["/srv"]`}},
			"/srv",
		},
		{
			"unix_socket_roots", "unix_socket_roots", func(p *policy.Policy) any { return p.UnixSocketRoots },
			[]string{},
			[]string{"/srv"},
			[2]texts{{`unix_socket_roots = []`, `"unix_socket_roots": []`}, {`unix_socket_roots = ["/srv"]`, `"unix_socket_roots": ["/srv"]`}},
			"/srv",
		},
		{
			"tcp_connect", "tcp_connect", func(p *policy.Policy) any { return p.TCPConnect },
			[]int{},
			[]int{443},
			[2]texts{{`tcp_connect = []`, `"tcp_connect": []`}, {`tcp_connect = [443]`, `"tcp_connect": [443]`}},
			"443",
		},
		{
			"tcp_bind", "tcp_bind", func(p *policy.Policy) any { return p.TCPBind },
			[]int{},
			[]int{0},
			[2]texts{{`tcp_bind = []`, `"tcp_bind": []`}, {`tcp_bind = [0]`, `"tcp_bind": [0]`}},
			"0",
		},
		{
			"capabilities", "capabilities", func(p *policy.Policy) any { return p.Capabilities },
			map[string][]string{},
			map[string][]string{"workspace": {"list"}},
			[2]texts{{"capabilities {\n}", `"capabilities": [{}]`}, {"capabilities {\nworkspace = [\"list\"]\n}", `"capabilities": [{"workspace": ["list"]}]`}},
			"workspace.list",
		},
		{
			"operations", "capabilities", func(p *policy.Policy) any { return p.Capabilities },
			map[string][]string{"workspace": {}},
			map[string][]string{"workspace": {"list"}},
			[2]texts{{"capabilities = {\nworkspace = []\n}", `"capabilities": [{"workspace": []}]`}, {"capabilities = {\nworkspace = [\"list\"]\n}", `"capabilities": [{"workspace": ["list"]}]`}},
			"workspace.list",
		},
	} {
		for i, want := range []any{nil, field.empty, field.one} {
			var text texts
			says := noLimit
			switch i {
			case 0:
				want = reflect.Zero(reflect.TypeOf(field.empty)).Interface()
			case 1:
				text, says = field.texts[0], nothing
			case 2:
				text, says = field.texts[1], field.says
			}
			decoded := map[string]*Config{}
			block := "ceiling {\n" + text.hcl + "\n}"
			config, err := parseConfig(t, block)
			if err != nil {
				t.Errorf("%s: %v", block, err)
				continue
			}
			decoded["a job's syntax"] = config
			for name, agent := range map[string]string{
				"agent":         "plugin \"nomad-driver-harn\" {\nconfig {\n" + block + "\n}\n}",
				"agent in JSON": `{"plugin": [{"nomad-driver-harn": [{"config": [{"ceiling": [{` + text.json + `}]}]}]}]}`,
			} {
				// As Nomad decodes its configuration.
				var file struct {
					Plugins []struct {
						Name   string         `hcl:",key"`
						Config map[string]any `hcl:"config"`
					} `hcl:"plugin"`
				}
				if err := hcl.Decode(&file, agent); err != nil {
					t.Fatal(err)
				}
				if decoded[name], err = DecodeConfig(file.Plugins[0].Config); err != nil {
					t.Errorf("%s: %v", agent, err)
					delete(decoded, name)
				}
			}
			for name, config := range decoded {
				for how, p := range map[string]*policy.Policy{"decoded": config.Ceiling, "cloned": config.Ceiling.Clone(), "limits": config.Limits(), "named": policy.Named(config.Ceiling)} {
					if got := field.value(p); !reflect.DeepEqual(got, want) {
						t.Errorf("%s, %s, %s: %#v, want %#v", block, name, how, got, want)
					}
				}
				if got := describeCeiling(config)[field.attribute]; got != says {
					t.Errorf("%s, %s: the node says %q, want %q", block, name, got, says)
				}
			}
		}
	}
}

// With one of the lists of ports, a ceiling admits nothing of the other.
func TestCeilingOfOneDirection(t *testing.T) {
	config := Config{Settings: sandbox.Settings{Ceiling: &policy.Policy{Extensions: policy.Extensions{TCPConnect: []int{443}}}}}
	if got := describeCeiling(&config)["tcp_bind"]; got != nothing {
		t.Errorf("tcp_bind is advertised as %q, want %q", got, nothing)
	}
}

// What jobs get that ask for nothing must be within what the operator allows,
// devices too.
func TestDefaultPolicyKeepsToDevices(t *testing.T) {
	t.Setenv(sandbox.FallbackVariable, "")
	const asks = "default_policy {\ndevices = [\"/dev/kvm\"]\n}\n"
	if _, err := parseConfig(t, asks); err == nil || !strings.Contains(err.Error(), `default_policy: devices: "/dev/kvm" exceed`) {
		t.Errorf("without the option devices: %v", err)
	}
	if _, err := parseConfig(t, asks+`devices = ["/dev/kv*"]`); err != nil {
		t.Error(err)
	}
}

// ceilingTree is what tasks go for in tests of the ceiling.
type ceilingTree struct{ base, in, read, out string }

// newTree makes a directory to write in, one to read, and one out of the
// ceiling, all of nobody, so that it is the policy that keeps a task out.
func newTree(t *testing.T, h *harness) ceilingTree {
	t.Helper()
	base := filepath.Join(filepath.Dir(h.config.StateDir), "tree")
	at := ceilingTree{base, base + "/in", base + "/read", base + "/out"}
	for _, dir := range []string{base, at.in, at.in + "/sub", at.read, at.out, base + "/in-other"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/f", []byte("text\n"), 0o666); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{dir, dir + "/f"} {
			if err := os.Chown(path, 65534, 65534); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, dir := range []string{base, at.in} { // nobody writes there, too, but cannot move links of root's
		if err := errors.Join(os.Chown(dir, 0, 0), os.Chmod(dir, 0o777|os.ModeSticky)); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{
		at.in + "/to-out": at.out, // in by name, and out by a link
		base + "/to-in":   at.in,
		base + "/to-all":  "/",
	} {
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	return at
}

// try is a script that says what can be done at a place.
func try(place string) string {
	return fmt.Sprintf("p=%s; r=no; w=no; cat $p/f >/dev/null 2>&1 && r=yes; { echo x >> $p/f; } 2>/dev/null && w=yes; echo \"read $r, write $w\"\n", place)
}

// Tasks under a ceiling either do not start, or do at each place what the
// ceiling and their policy both admit, and nothing else.
func TestCeilingHolds(t *testing.T) {
	h := newHarness(t, nil)
	at := newTree(t, h)
	limited := policy.Policy{WorkspaceRoots: []string{at.in, at.base + "/new"}, ReadOnlyRoots: []string{at.read}}
	linked := policy.Policy{WorkspaceRoots: []string{at.base + "/to-in"}, ReadOnlyRoots: []string{}}
	none := policy.Policy{WorkspaceRoots: []string{}, ReadOnlyRoots: []string{}}
	reading := limited
	reading.Capabilities = map[string][]string{"workspace": {"read_text"}}
	writable := func(source string) *drivers.MountConfig {
		return &drivers.MountConfig{TaskPath: "/vol", HostPath: source}
	}
	readable := func(source string) *drivers.MountConfig {
		return &drivers.MountConfig{TaskPath: "/vol", HostPath: source, Readonly: true}
	}
	write := func(roots ...string) policy.Policy { return policy.Policy{WorkspaceRoots: roots} }
	read := func(roots ...string) policy.Policy { return policy.Policy{ReadOnlyRoots: roots} }
	const (
		both, readOnly = "read yes, write yes\n", "read yes, write no\n"
		neither        = "read no, write no\n"
	)
	for _, tc := range []struct {
		name    string
		ceiling policy.Policy
		request policy.Policy
		volume  *drivers.MountConfig
		place   string   // to go for, as the task names it
		want    string   // what it can do there
		refused []string // or why it does not start
	}{
		{"no ceiling", policy.Policy{}, write(at.out), nil, at.out, both, nil},
		{"no ceiling, reading", policy.Policy{}, read(at.out), nil, at.out, readOnly, nil},
		{"no ceiling, not asked for", policy.Policy{}, policy.Policy{}, nil, at.out, neither, nil},
		{"reading under nothing", none, read(at.read), nil, "", "", []string{"read_only_roots", at.read, "no place but the task's own directories"}},
		{"writing under nothing", none, write(at.in), nil, "", "", []string{"workspace_roots", at.in, "no place but the task's own directories"}},
		{"reading alone is limited", policy.Policy{ReadOnlyRoots: []string{}}, read(at.read), nil, "", "", []string{"read_only_roots", at.read}},
		{"sockets under nothing", policy.Policy{Extensions: policy.Extensions{UnixSocketRoots: []string{}}}, policy.Policy{Extensions: policy.Extensions{UnixSocketRoots: []string{at.in}}}, nil, "", "", []string{"unix_socket_roots", at.in}},
		{"operations under nothing", policy.Policy{Capabilities: map[string][]string{}}, policy.Policy{Capabilities: map[string][]string{"workspace": {"list"}}}, nil, "", "", []string{`"workspace"`, "no capability"}},
		{"own, by a relative path", none, write("local", "tmp"), nil, "$NOMAD_TASK_DIR", both, nil},
		{"own, by an absolute path", none, write("OWN"), nil, "$NOMAD_TASK_DIR", both, nil},
		{"own, by another name", none, write("ALIAS"), nil, "$NOMAD_TASK_DIR", both, nil},
		{"own, read-only", none, read("OWN"), nil, "$NOMAD_TASK_DIR", readOnly, nil},
		{"own by its beginning", none, write("OWN/../../../out"), nil, "", "", []string{"workspace_roots", "exceed"}},
		{"a link out of the own", none, write("OWN/link"), nil, "", "", []string{"workspace_roots", "leaves the task directory"}},
		{"a link out of the own, relative", none, write("local/link"), nil, "", "", []string{"workspace_roots", "leaves the task directory"}},
		{"within", limited, write(at.in + "/sub"), nil, at.in + "/sub", both, nil},
		{"within, reading", limited, read(at.read), nil, at.read, readOnly, nil},
		{"reading what can be written", limited, read(at.in), nil, at.in, readOnly, nil},
		{"writing what can be read", limited, write(at.read), nil, "", "", []string{"workspace_roots", at.read}},
		{"beside", limited, write(at.base + "/in-other"), nil, "", "", []string{"workspace_roots", "/in-other"}},
		{"above", limited, write(at.base), nil, "", "", []string{"workspace_roots", at.base}},
		{"in by name, out by a link", limited, write(at.in + "/to-out"), nil, "", "", []string{"workspace_roots", at.out}},
		{"in by name, out by ..", limited, write(at.in + "/../out"), nil, "", "", []string{"workspace_roots", "../out"}},
		{"the ceiling's root is a link, by its name", linked, write(at.base + "/to-in"), nil, at.in, both, nil},
		{"the ceiling's root is a link, by the real path", linked, write(at.in + "/sub"), nil, at.in + "/sub", both, nil},
		{"the ceiling's root leads to everything", write(at.base + "/to-all"), write(at.out), nil, "", "", []string{"workspace_roots", at.out}},
		{"the ceiling's root does not exist", limited, write(at.base + "/new/x"), nil, "", "", []string{"workspace_roots[0]", "does not exist"}},
		{"writing is not granted", reading, write(at.in), nil, at.in, readOnly, nil},

		{"volume without a ceiling", policy.Policy{}, policy.Policy{}, writable(at.out), "/vol", both, nil},
		{"volume under nothing", none, policy.Policy{}, writable(at.in), "", "", []string{`destination "/vol"`, at.in, "workspace_roots", "no place but"}},
		{"read-only volume under nothing", none, policy.Policy{}, readable(at.in), "", "", []string{`destination "/vol"`, at.in, "read_only_roots", "no place but"}},
		{"volume within", limited, policy.Policy{}, writable(at.in), "/vol", both, nil},
		{"read-only volume within", limited, policy.Policy{}, readable(at.in + "/sub"), "/vol", readOnly, nil},
		{"read-only volume where reading is admitted", limited, policy.Policy{}, readable(at.read), "/vol", readOnly, nil},
		{"volume where reading is admitted", limited, policy.Policy{}, writable(at.read), "", "", []string{`destination "/vol"`, at.read, "workspace_roots", at.in, "read_only = true"}},
		{"volume beside", limited, policy.Policy{}, writable(at.base + "/in-other"), "", "", []string{`destination "/vol"`, "/in-other"}},
		{"volume in by name, out by a link", limited, policy.Policy{}, writable(at.in + "/to-out"), "", "", []string{`destination "/vol"`, at.out}},
		{"read-only volume out by a link", limited, policy.Policy{}, readable(at.in + "/to-out"), "", "", []string{`destination "/vol"`, at.out}},
		{"volume by the ceiling's link", linked, policy.Policy{}, writable(at.base + "/to-in"), "/vol", both, nil},
		{"volume in a place that does not exist", limited, policy.Policy{}, writable(at.base + "/new"), "", "", []string{`destination "/vol"`, "does not exist"}},
		{"volume, writing is not granted", reading, policy.Policy{}, writable(at.in), "/vol", readOnly, nil},
		{"volume in the private /tmp", limited, policy.Policy{}, &drivers.MountConfig{TaskPath: "/tmp/vol", HostPath: at.in}, "/tmp/vol", both, nil},
		{"volume in the private /tmp, writing is not granted", reading, policy.Policy{}, &drivers.MountConfig{TaskPath: "/tmp/vol", HostPath: at.in}, "/tmp/vol", readOnly, nil},
		{"unrestricted", policy.Policy{SandboxProfile: "unrestricted", WorkspaceRoots: []string{}}, policy.Policy{SandboxProfile: "unrestricted"}, writable(at.in), "", "", []string{`destination "/vol"`, at.in}},
	} {
		config := *h.driver.currentConfig()
		config.Ceiling = &tc.ceiling
		if err := config.validate(); err != nil {
			t.Fatal(err)
		}
		h.driver.lock.Lock()
		h.driver.config = &config
		h.driver.lock.Unlock()

		task := sh("true")
		cfg := h.task(task)
		own := cfg.Env["NOMAD_TASK_DIR"]
		if err := os.WriteFile(own+"/f", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(own+"/f", 65534, 65534); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(at.out, own+"/link"); err != nil {
			t.Fatal(err)
		}
		request := tc.request.Clone()
		for _, roots := range [][]string{request.WorkspaceRoots, request.ReadOnlyRoots} {
			for i, root := range roots {
				if root == "ALIAS" { // a data_dir by a link of root's
					alias := filepath.Join(at.base, "alias")
					if err := os.Symlink(filepath.Dir(filepath.Dir(own)), alias); err != nil {
						t.Fatal(err)
					}
					cfg.Env["NOMAD_TASK_DIR"] = filepath.Join(alias, filepath.Base(filepath.Dir(own)), "local")
					roots[i] = cfg.Env["NOMAD_TASK_DIR"]
				} else if rest, found := strings.CutPrefix(root, "OWN"); found {
					roots[i] = own + rest
				}
			}
		}
		task = sh(try(tc.place))
		task.Policy = request
		if err := cfg.EncodeConcreteDriverConfig(&task); err != nil {
			t.Fatal(err)
		}
		if tc.volume != nil {
			cfg.Mounts = []*drivers.MountConfig{tc.volume}
		}
		if tc.refused != nil {
			_, _, err := h.StartTask(cfg)
			wantError(t, tc.name, err, tc.refused...)
			continue
		}
		h.start(cfg)
		h.wait(cfg.ID)
		if got := h.log(cfg, "stdout", "read"); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
}
