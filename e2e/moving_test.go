// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What docs/jobs.md says of a line of another driver's job is true: each row of its
// three tables is shown here, or by the test that is named.

// A moved line is a row of the tables.
type moved struct {
	table, row string
	by         string // the test of this package that shows it
	show       func(t *testing.T, m *moving)
}

// moving runs jobs.
type moving struct {
	a    *client
	name string
	jobs int
}

// task runs a task, whose block is given, and returns its job.
func (m *moving) task(t *testing.T, block string) *job {
	t.Helper()
	return m.run(t, block, "")
}

// run runs a task in a group with more in its block.
func (m *moving) run(t *testing.T, block, group string) *job {
	t.Helper()
	m.jobs++
	hcl := batch(fmt.Sprintf("moving-%s-%d", m.name, m.jobs), block)
	return m.a.run(t, strings.Replace(hcl, `task "t" {`, group+"\n    task \"t\" {", 1))
}

// under runs a shell script as a task of another driver, or of this one.
func (m *moving) under(t *testing.T, driver, text, more string) *job {
	t.Helper()
	m.jobs++
	hcl := batch(fmt.Sprintf("moving-%s-%d", m.name, m.jobs), script(text, more))
	return m.a.run(t, strings.Replace(hcl, `driver = "harn"`, `driver = "`+driver+`"`, 1))
}

// prints checks what a shell script prints.
func (m *moving) prints(t *testing.T, text, more, want string) {
	t.Helper()
	m.task(t, script(text, more)).wantLogs("stdout", want)
}

// refused checks that a task does not start, and that its event names something.
func (m *moving) refused(t *testing.T, block string, says ...string) {
	t.Helper()
	j := m.task(t, block)
	for _, text := range says {
		if !strings.Contains(j.events(), text) {
			t.Errorf("no %q in\n%s", text, j.events())
		}
	}
	j.wantNotStarted()
}

// unknown checks that this driver has no such option.
func (m *moving) unknown(t *testing.T, options ...string) {
	t.Helper()
	for _, option := range options {
		name, _, _ := strings.Cut(option, " ")
		m.refused(t, script("true", option), name)
	}
}

func movedLines(dir string) []moved {
	const (
		exec, raw, docker = "exec", "raw_exec", "docker"

		narrow   = "capability_policy {\n workspace_roots = [\"local\"]\n side_effect_level = \"process_exec\"\n}"
		outside  = `cat ` + "%s" + `/data/f 2> /dev/null || echo closed`
		standing = `test "$PWD" = "$(dirname $NOMAD_TASK_DIR)" && ls -d local`
	)
	policy := func(text string) string {
		return "capability_policy {\n" + strings.ReplaceAll(text, "DIR", dir) + "\n}"
	}
	same := func(t *testing.T, m *moving) {
		m.prints(t, standing, "", "local\n")
		m.prints(t, `pwd | grep -o 'local$'`, `work_dir = "local"`, "local\n")
		m.task(t, "config {\n command = \"sh\"\n args = [\"-c\", \"echo $0 $1\", \"a\", \"b\"]\n}").wantLogs("stdout", "a b\n")
	}
	return []moved{
		{exec, "`driver = \"exec\"`", "", func(t *testing.T, m *moving) { m.prints(t, "echo started", "", "started\n") }},
		{exec, "`command`, `args`, `work_dir`", "", same},
		{exec, "paths `/local/x`, `/alloc/x`, `/secrets/x`", "", func(t *testing.T, m *moving) {
			const template = "template {\n destination = \"local/x\"\n perms = \"755\"\n data = \"#!/bin/sh\\necho $PWD from x\\n\"\n}\n"
			for _, more := range []string{"", narrow} {
				m.task(t, template+`config {
					command = "local/x"
					`+more+`
				}`).wantLogs("stdout", " from x\n")
				m.task(t, template+script(`${NOMAD_TASK_DIR}/x; /local/x; test /local -ef "$NOMAD_TASK_DIR" && echo same`, more)).wantLogs("stdout", " from x\n", "same\n")
			}
			m.task(t, template+"config {\n command = \"./x\"\n work_dir = \"local\"\n}").wantNotFound(t)
			m.prints(t, `touch /alloc/data/f /secrets/f && ls "$NOMAD_ALLOC_DIR/data" "$NOMAD_SECRETS_DIR"`, "", "f\n")
		}},
		{exec, "the chroot's copies of `/etc`, `/usr`, ...", "", func(t *testing.T, m *moving) {
			m.prints(t, `test /usr/bin/env -ef /proc/1/root/usr/bin/env; grep -c ^root: /etc/passwd; touch /etc/x /usr/x 2> /dev/null || echo read-only`, "", "1\nread-only\n")
			m.prints(t, fmt.Sprintf(outside, dir), "", "closed\n")
			m.prints(t, fmt.Sprintf(outside, dir), policy(`read_only_roots = ["DIR/data"]`), "data\n")
		}},
		{exec, "writing elsewhere in the chroot", "", func(t *testing.T, m *moving) {
			m.prints(t, `for d in /tmp /var/tmp /run . local; do touch $d/f || echo no $d; done; for d in / /usr /var /srv; do touch $d/f 2> /dev/null && echo $d; done; echo end`, "", "end\n")
		}},
		{exec, "`user` (default `nobody`)", "", func(t *testing.T, m *moving) {
			m.prints(t, "id -un | cut -c1-6", "", "nomad-\n")
			m.task(t, `user = "nobody"`+script("id -un", "")).wantLogs("stdout", "nobody\n")
			m.refused(t, `user = "nobody:nogroup"`+script("true", ""), `user`, `nobody:nogroup`)
		}},
		{exec, "`cap_add`, `cap_drop`", "TestUsersAndCapabilities", nil},
		{exec, "`pid_mode`, `ipc_mode`", "TestHostNamespaces", func(t *testing.T, m *moving) {
			m.refused(t, script("true", `pid_mode = "host"`), "pid_mode", "allow_host_pid")
			m.refused(t, script("true", `ipc_mode = "host"`), "ipc_mode", "allow_host_ipc")
			m.prints(t, "echo started", "pid_mode = \"private\"\nipc_mode = \"private\"", "started\n")
		}},
		{exec, "`resources`, `network`, `volume_mount`, `template`, `artifact`, `logs`, `service`", "TestVolumes", func(t *testing.T, m *moving) {
			server := httptest.NewServer(http.FileServer(http.Dir(filepath.Join(dir, "data"))))
			defer server.Close()
			task := "logs {\n max_files = 2\n max_file_size = 1\n}\nartifact {\n source = \"" + server.URL + "/f\"\n destination = \"local/fetched\"\n}\n" +
				"template {\n destination = \"local/made\"\n data = \"made\\n\"\n}\n" +
				"service {\n provider = \"nomad\"\n name = \"moving\"\n port = \"http\"\n}\n"
			const network = "network {\n port \"http\" {}\n}"
			const look = `cat local/fetched/f local/made; python3 -c 'import socket; socket.socket(); print("network")' 2> /dev/null || echo none`
			m.run(t, task+script(look, ""), network).wantLogs("stdout", "data\nmade\nnetwork\n")
			m.run(t, task+script(look, policy(`side_effect_level = "network"`)), network).wantLogs("stdout", "data\nmade\nnetwork\n")
			m.run(t, task+script(look, policy(`side_effect_level = "process_exec"`)), network).wantLogs("stdout", "data\nmade\nnone\n")
		}},

		{raw, "`driver = \"raw_exec\"`", "", func(t *testing.T, m *moving) {
			for _, driver := range []string{"raw_exec", "harn"} {
				m.under(t, driver, "echo started", "").wantLogs("stdout", "started\n")
			}
		}},
		{raw, "`command`, `args`, `work_dir`", "", func(t *testing.T, m *moving) {
			same(t, m)
			m.under(t, "raw_exec", standing, "").wantLogs("stdout", "local\n")
		}},
		{raw, "the agent's user (root)", "TestUsersAndCapabilities", func(t *testing.T, m *moving) {
			m.prints(t, "id -un | cut -c1-6", "", "nomad-\n")
			m.task(t, `user = "games"`+script("id -un", "")).wantLogs("stdout", "games\n")
			m.refused(t, `user = "root"`+script("true", ""), "user", "allow_root")
		}},
		{raw, "the host's files", "TestVolumes", func(t *testing.T, m *moving) {
			m.prints(t, fmt.Sprintf(outside, dir), "", "closed\n")
			m.prints(t, fmt.Sprintf(outside, dir)+"; touch "+dir+"/data/g 2> /dev/null || echo read-only", policy(`read_only_roots = ["DIR/data"]`), "data\nread-only\n")
			m.prints(t, "touch "+dir+"/work/g && echo written", policy(`workspace_roots = ["local", "DIR/work"]`), "written\n")
		}},
		{raw, "the agent's environment", "TestEnvironmentAndDirectories", nil},
		{raw, "the host's processes, `/tmp`, devices", "TestHostNamespaces", func(t *testing.T, m *moving) {
			if err := os.WriteFile("/tmp/harn-e2e-moving", nil, 0o644); err != nil {
				t.Fatal(err)
			}
			defer os.Remove("/tmp/harn-e2e-moving")
			m.prints(t, `ls /tmp; ps -e | grep -c nomad; test -e /dev/loop-control -o -e /dev/vda && echo device; echo end`, "", "0\nend\n")
			m.refused(t, script("true", policy(`devices = ["/dev/loop-control"]`)), "devices", "/dev/loop-control")
		}},
		{raw, "`cgroup_v1_override`, `cgroup_v2_override`", "", func(t *testing.T, m *moving) {
			m.unknown(t, `cgroup_v2_override = "x.slice"`, "cgroup_v1_override = {\n pids = \"x\"\n}")
		}},
		{raw, "`oom_score_adj`", "", func(t *testing.T, m *moving) {
			for _, driver := range []string{"raw_exec", "harn"} {
				m.under(t, driver, "cat /proc/self/oom_score_adj", "oom_score_adj = 300").wantLogs("stdout", "300\n")
			}
		}},

		{docker, "`image`", "", func(t *testing.T, m *moving) {
			m.unknown(t, `image = "busybox"`)
			if err := os.WriteFile(filepath.Join(dir, "data", "prog"), []byte("#!/bin/sh\necho fetched\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(http.FileServer(http.Dir(filepath.Join(dir, "data"))))
			defer server.Close()
			m.task(t, "artifact {\n source = \""+server.URL+"/prog\"\n destination = \"local\"\n}\nconfig {\n command = \"sh\"\n args = [\"local/prog\"]\n}").wantLogs("stdout", "fetched\n")
			m.refused(t, "config {\n command = \""+dir+"/data/prog\"\n}", "outside of every root", "read_only_roots")
			m.task(t, "config {\n command = \""+dir+"/data/prog\"\n"+policy(`read_only_roots = ["DIR/data"]`)+"\n}").wantLogs("stdout", "fetched\n")
		}},
		{docker, "`entrypoint`, `command`, `args`", "", func(t *testing.T, m *moving) {
			m.unknown(t, `entrypoint = ["/bin/sh"]`)
			m.task(t, "config {\n command = \"/bin/echo\"\n args = [\"a\", \"b\"]\n}").wantLogs("stdout", "a b\n")
		}},
		{docker, "`volumes = [\"/srv/data:/data\"]`", "TestVolumes", func(t *testing.T, m *moving) {
			m.unknown(t, `volumes = ["/srv/data:/data"]`)
			m.prints(t, "touch "+dir+"/work/h && echo written", policy(`workspace_roots = ["DIR/work"]`), "written\n")
			m.prints(t, "cat "+dir+"/data/f; touch "+dir+"/data/h 2> /dev/null || echo read-only", policy(`read_only_roots = ["DIR/data"]`), "data\nread-only\n")
		}},
		{docker, "`volumes = [\"local/x:/etc/x\"]`", "TestVolumes", func(t *testing.T, m *moving) {
			m.prints(t, "mkdir /etc/x 2> /dev/null || echo read-only; echo conf > local/x; cat local/x", "", "read-only\nconf\n")
		}},
		{docker, "`mount { type = \"tmpfs\" }`, `shm_size`", "", func(t *testing.T, m *moving) {
			m.unknown(t, `shm_size = 1`)
			m.prints(t, "touch /tmp/f /dev/shm/f && ls tmp; stat -f -c %T /dev/shm", "", "f\ntmpfs\n")
			const fill = `head -c 200M /dev/zero > %s/f && stat -c %%s %s/f`
			if !inMemory(t, "/var/tmp") { // where the agent's data are: /tmp is a directory there
				m.prints(t, fmt.Sprintf(fill, "/tmp", "/tmp"), "", "209715200\n")
			}
			for _, dir := range []string{"/dev/shm", "/run"} {
				if j := m.task(t, script(fmt.Sprintf(fill, dir, dir), "")); strings.Contains(j.logs("stdout"), "209715200") || !j.oomKilled() {
					t.Errorf("200 MiB in %s, of 128 MiB: %s", dir, j.events())
				}
			}
		}},
		{docker, "`network_mode = \"none\"`", "", func(t *testing.T, m *moving) {
			m.unknown(t, `network_mode = "none"`)
			const look = `python3 -c 'import socket; socket.socket(); print("network")' 2> /dev/null || echo none; wc -l < /proc/net/dev`
			m.prints(t, look, policy(`side_effect_level = "process_exec"`), "none\n")
			m.prints(t, look, "", "network\n")
		}},
		{docker, "`network_mode = \"host\"`, `\"bridge\"`; `ports`", "TestBridge", func(t *testing.T, m *moving) {
			m.unknown(t, `ports = ["http"]`)
			m.run(t, script(`readlink /proc/self/ns/net; echo $NOMAD_PORT_http | grep -c .`, ""), "network {\n mode = \"host\"\n port \"http\" {}\n}").
				wantLogs("stdout", hostNetwork(t)+"\n1\n")
			const bind = `python3 -c 'import socket; socket.create_server(("127.0.0.1", 82)); print("bound")' 2> /dev/null || echo refused`
			m.prints(t, bind, "", "refused\n")
			complete().run(t, batch("moving-port", script(bind, ""))).wantLogs("stdout", "bound\n")
		}},
		{docker, "`dns_servers`, `dns_options`", "TestBridge", func(t *testing.T, m *moving) {
			m.unknown(t, `dns_servers = ["192.0.2.1"]`)
			m.run(t, script("cat /etc/resolv.conf", ""), "network {\n mode = \"host\"\n dns {\n servers = [\"192.0.2.1\"]\n options = [\"ndots:3\"]\n }\n}").
				wantLogs("stdout", "nameserver 192.0.2.1\noptions ndots:3\n")
		}},
		{docker, "`user = \"1000:1000\"`", "", func(t *testing.T, m *moving) {
			m.refused(t, `user = "5:60"`+script("true", ""), "user", "5:60")
			m.refused(t, `user = "5"`+script("true", ""), "unknown user 5") // by Nomad
			m.task(t, `user = "games"`+script("id -u; id -g", "")).wantLogs("stdout", "5\n60\n")
		}},
		{docker, "`privileged`, `security_opt`, `sysctl`", "", func(t *testing.T, m *moving) {
			m.unknown(t, "privileged = true", `security_opt = ["x"]`, "sysctl = {\n a = \"b\"\n}")
		}},
		{docker, "`cap_add`, `cap_drop`, `pids_limit`, `ulimit`, `cpu_hard_limit`, `work_dir`, `oom_score_adj`", "TestResources", func(t *testing.T, m *moving) {
			m.prints(t, `ulimit -n; cat /proc/self/oom_score_adj; pwd | grep -o 'local$'`,
				"cap_drop = [\"all\"]\npids_limit = 50\nulimit {\n nofile = \"100:200\"\n}\ncpu_hard_limit = true\nwork_dir = \"local\"\noom_score_adj = 7", "100\n7\nlocal\n")
			m.refused(t, script("true", `cap_add = ["net_raw"]`), "cap_add", "net_raw", "allow_caps")
		}},
		{docker, "`memory_hard_limit`", "TestOutOfMemory", func(t *testing.T, m *moving) { m.unknown(t, "memory_hard_limit = 100") }},
		{docker, "`devices`", "TestDevice", func(t *testing.T, m *moving) { m.unknown(t, "devices = []") }},
		{docker, "`readonly_rootfs`, `init`", "", func(t *testing.T, m *moving) {
			m.unknown(t, "readonly_rootfs = true", "init = true")
			m.prints(t, `touch /f 2> /dev/null || echo read-only; (sleep 0.1 &); sleep 0.5; ps -eo stat | grep -c Z; test $$ != 1 && echo not first`, "", "read-only\n0\nnot first\n")
		}},
		{docker, "`logging`", "TestLogs", func(t *testing.T, m *moving) {
			m.unknown(t, "logging {\n type = \"syslog\"\n}")
			m.prints(t, "echo logged", "", "logged\n")
		}},
		{docker, "`healthchecks`", "TestScriptCheckAndStats", func(t *testing.T, m *moving) {
			m.unknown(t, "healthchecks {\n disable = true\n}")
		}},
	}
}

// notWords are what the names of subtests are better without.
var notWords = regexp.MustCompile(`[^a-z_A-Z]+`)

func hostNetwork(t *testing.T) string {
	t.Helper()
	name, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// wantNotFound checks that a relative command is not looked up in work_dir.
func (j *job) wantNotFound(t *testing.T) {
	t.Helper()
	if text := j.event("Driver Failure"); !strings.Contains(text, "not found") {
		t.Errorf("%q\n%s", text, j.events())
	}
}

func TestMoving(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("/srv", "harn-moving-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for path, mode := range map[string]os.FileMode{"": 0o755, "data": 0o755, "work": 0o777} {
		if err := os.MkdirAll(filepath.Join(dir, path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, path), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "data", "f"), []byte("data\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for i, line := range movedLines(dir) {
		if line.show != nil {
			t.Run(line.table+" "+notWords.ReplaceAllString(line.row, " "), func(t *testing.T) {
				t.Parallel()
				line.show(t, &moving{a: shared.client, name: fmt.Sprint(line.table[:3], i)})
			})
		}
	}
}

// The tables have these rows and no others, and the tests that are named exist.
func TestMovingHasEveryLine(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/jobs.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text2, _ := strings.Cut(string(text), "\n## Moving from ")
	text2, _, _ = strings.Cut(text2, "\n## ")
	var rows []string
	table := ""
	for line := range strings.Lines(text2) {
		first, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
		switch {
		case !strings.HasPrefix(line, "| "):
		case strings.HasPrefix(first, "in `"):
			table = strings.Trim(strings.TrimPrefix(first, "in "), "`")
		default:
			rows = append(rows, table+": "+first)
		}
	}
	var shown []string
	tests := testNames(t)
	for _, line := range movedLines("") {
		shown = append(shown, line.table+": "+line.row)
		if line.show == nil && line.by == "" || line.by != "" && !slices.Contains(tests, line.by) {
			t.Errorf("%s: nothing shows it, %q", line.row, line.by)
		}
	}
	slices.Sort(rows)
	slices.Sort(shown)
	if !slices.Equal(rows, shown) || len(rows) == 0 {
		t.Errorf("docs/jobs.md has\n%s\nshown are\n%s", strings.Join(rows, "\n"), strings.Join(shown, "\n"))
	}
}

var testName = regexp.MustCompile(`(?m)^func (Test\w+)`)

func testNames(t *testing.T) (names []string) {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range testName.FindAllStringSubmatch(string(text), -1) {
			names = append(names, match[1])
		}
	}
	return names
}

// inMemory reports whether a directory is on a tmpfs, or, as in a VM of these tests, on
// an overlay that has one above.
func inMemory(t *testing.T, dir string) bool {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return st.Type == unix.TMPFS_MAGIC || st.Type == unix.OVERLAYFS_SUPER_MAGIC
}
