// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/policy"
)

// environmentOf is the environment of a task, of what Nomad gives.
func environmentOf(nomad map[string]string) map[string]string {
	return Environment(nomad, Withhold(nomad), "nobody", "/task")
}

func TestTaskEnvironment(t *testing.T) {
	t.Setenv("AGENT_SECRET", "s3cret")
	t.Setenv("LANG", "C")
	t.Setenv("HOME", "/root")
	env := environmentOf(map[string]string{
		"AGENT_SECRET": "s3cret", // handed down
		"LANG":         "de",     // set by the job, to something else
		"HOME":         "/root",  // handed down
		"EMPTY":        "",
		"NOMAD_X":      "1",
	})
	for name, want := range map[string]string{
		"LANG": "de", "HOME": "/task", "USER": "nobody", "LOGNAME": "nobody", "TMPDIR": "/tmp",
		"EMPTY": "", "NOMAD_X": "1", "PATH": defaultPath,
	} {
		if got, ok := env[name]; !ok || got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if _, leaked := env["AGENT_SECRET"]; leaked {
		t.Error("the agent's environment reaches the task")
	}
	if list := EnvironmentList(map[string]string{"B": "", "A": "1"}); strings.Join(list, " ") != "A=1 B=" {
		t.Errorf("list: %q", list)
	}
	if env := environmentOf(map[string]string{"HOME": "/srv", "PATH": "/opt", "AGENT_SECRET": "the job's"}); env["HOME"] != "/srv" || env["PATH"] != "/opt" || env["AGENT_SECRET"] != "the job's" {
		t.Errorf("the job's own settings are lost: %v", env)
	}
}

// What equals the agent's may be the job's: it arrives unless it may be secret.
func TestVariablesThatEqualTheAgents(t *testing.T) {
	file := t.TempDir() + "/ca with a space.pem"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	harmless := map[string]string{
		"LANG": "C.UTF-8", "LC_ALL": "de_DE.UTF-8@euro", "LC_CTYPE": "POSIX", "LANGUAGE": "en_GB:en", "TZ": "Europe/Berlin", "TERM": "xterm-256color",
		"HTTP_PROXY": "http://proxy.example:3128", "https_proxy": "http://[fd00::1]:3128/", "NO_PROXY": "localhost,127.0.0.1,.example.com,10.0.0.0/8",
		"PATH": "/opt/tools/bin:/usr/bin", "JAVA_HOME": "/usr/lib/jvm/java-21-openjdk-amd64", "PYTHONPATH": "/srv/lib:/srv/more", "GOPATH": "/go",
		"NOMAD_NAMESPACE": "default", "NOMAD_REGION": "global", "NOMAD_DC": "dc1",
		"EDITOR": "vim", "NODE_ENV": "production", "DEBUG": "true", "GOMAXPROCS": "4", "PORT": "8080", "FOO": "bar", "UNSET": "",
		"SSL_CERT_FILE": file, "NODE_EXTRA_CA_CERTS": file, "REQUESTS_CA_BUNDLE": file, "GIT_SSL_CAINFO": "/etc/../etc/passwd", "PIP_FIND_LINKS": filepath.Dir(file),
		"SOME_KEY_FILES": file + ":/etc", "KUBECONFIG": file,
	}
	secret := map[string]string{
		"AWS_SECRET_ACCESS_KEY": "abc", "GITHUB_TOKEN": "a", "DB_PASSWORD": "swordfish", "PGPASSWORD": "x", "NOMAD_TOKEN": "1", "NOMAD_HTTP_AUTH": "a:b",
		"NOMAD_VAR_x": "1", "VAULT_TOKEN": "s.1", "OPENAI_API_KEY": "sk-1", "SIGNING_SEED": "word", "SESSION_COOKIE": "abc", "VAULT_NAMESPACE": "x",
		"SOMETHING": "hunter2", "OTHER": "ghp_0123456789abcdef", "ID": "0b5a7b3e-8e2f-4a51-9c40-0e5c8a6f8d11", "PLAIN": "correct horse battery staple",
		"HTTP_PROXY": "http://user:password@proxy.example:3128", "ALL_PROXY": "socks5://user@proxy", "https_proxy": "user:pw@proxy:3128",
		"DATABASE_URL": "postgres://u:p@db/x", "HOOK": "https://hooks.example/services/T00/B00/XXXX", "NUMBER": "123456", "API_KEY_PATH": "/x",
		"PYTHONPATH": "token=abc", "HEX": "deadbeefdeadbeefdeadbeef", "LANG": "C; echo secret", "JSON": `{"a":"b"}`,
		"MISSING_CERT_FILE": file + ".none", "CERTS": file + ":s3cret", "CERT_FILE": "ca.pem", "EMPTY_CERTS": file + "::", "NOTIFY_SOCKET": file, "SSH_AUTH_SOCK": file, "CREDENTIALS_DIRECTORY": "/etc",
	}
	for _, tc := range []struct {
		name    string
		vars    map[string]string
		arrives bool
	}{{"harmless", harmless, true}, {"secret", secret, false}} {
		t.Run(tc.name, func(t *testing.T) {
			for name, value := range tc.vars {
				t.Setenv(name, value)
			}
			env := environmentOf(tc.vars)
			for name, value := range tc.vars {
				got, ok := env[name]
				if arrived := ok && got == value; arrived != tc.arrives {
					t.Errorf("%s=%s: arrived: %v, want %v", name, value, arrived, tc.arrives)
				}
			}
			// Of another value, all is the job's.
			other := maps.Clone(tc.vars)
			for name := range other {
				other[name] += "x"
			}
			for name, value := range environmentOf(other) {
				if want, set := other[name]; set && want != value {
					t.Errorf("%s: %q, want %q", name, value, want)
				}
			}
		})
	}
}

func TestWithheldNote(t *testing.T) {
	if note := withheldNote([]string{"HOME", "INVOCATION_ID", "SSH_AUTH_SOCK"}); note != nil {
		t.Errorf("what nobody misses is named: %q", note)
	}
	note := withheldNote([]string{"A_KEY", "HOME"})
	if len(note) != 1 || !strings.Contains(note[0], `["A_KEY"]`) || !strings.Contains(note[0], "the agent's environment") {
		t.Errorf("note %q", note)
	}
	// All of them, as long as that is short; else those first that a program needs.
	some := []string{"A", "B_C", "D1", "E", "F", "G_H"}
	if note := withheldNote(some); !strings.Contains(note[0], fmt.Sprintf("%q;", some)) {
		t.Errorf("note %q", note)
	}
	many := []string{"DATABASE_URL", "OPENAI_API_KEY", "VAULT_ADDR"}
	for n := range 50 {
		many = append(many, fmt.Sprintf("AAA_%d", n), fmt.Sprintf("NOMAD_X%d", n))
	}
	slices.Sort(many)
	note = withheldNote(many)
	if !strings.Contains(note[0], `["DATABASE_URL" "OPENAI_API_KEY" "AAA_0"`) || strings.Contains(note[0], "VAULT_ADDR") || !regexp.MustCompile(`\] and [78][0-9] more;`).MatchString(note[0]) || len(note[0]) > 400 {
		t.Errorf("note %q", note)
	}
	if long := strings.Repeat("A", 300); !strings.Contains(withheldNote([]string{long})[0], long) {
		t.Error("a long name is left out")
	}
}

// The agent's HOME is the task's where the policy shows something of it.
func TestAgentsHome(t *testing.T) {
	base := t.TempDir()
	home, other := base+"/home", base+"/other"
	for _, dir := range []string{home + "/.tool", other} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("HOME", home)
	for name, tc := range map[string]struct {
		home   string // what Nomad gives
		roots  policy.Roots
		volume string
		want   string // "" for the driver's
		noted  bool
	}{
		"shown":             {home, policy.Roots{ReadOnly: []string{home}}, "", home, false},
		"something in it":   {home, policy.Roots{ReadOnly: []string{home + "/.tool"}}, "", home, false},
		"a workspace above": {home, policy.Roots{Workspace: []string{base}}, "", home, false},
		"a volume":          {home, policy.Roots{}, home + "/.tool", home, false},
		"not shown":         {home, policy.Roots{ReadOnly: []string{other}}, "", "", true},
		"the job's own":     {other, policy.Roots{}, "", other, false},
		"none":              {"", policy.Roots{ReadOnly: []string{home}}, "", "", false},
	} {
		nomad := map[string]string{}
		if tc.home != "" {
			nomad["HOME"] = tc.home
		}
		who := newAccount(identity{Name: "nobody"}, nomad, Withhold(nomad))
		w := &layout{dirs: &Dirs{}}
		if tc.volume != "" {
			w.volumes = []volume{{task: tc.volume}}
		}
		withheld := who.keepHome(w, tc.roots)
		want := cmp.Or(tc.want, "/task")
		if got := Environment(nomad, withheld, "nobody", "/task")["HOME"]; got != want {
			t.Errorf("%s: HOME is %q, want %q", name, got, want)
		}
		if passwd := who.files("/task")[passwdFile]; !strings.Contains(passwd, "::"+want+":/") {
			t.Errorf("%s: passwd begins with %.60q, want the home %q", name, passwd, want)
		}
		note := homeNote(who, withheld, "/task")
		if (len(note) == 1) != tc.noted || tc.noted && !strings.Contains(note[0], fmt.Sprintf("HOME is %q: %q is", "/task", home)) {
			t.Errorf("%s: note %q", name, note)
		}
	}
}
