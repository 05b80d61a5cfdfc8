// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"maps"
	"strings"
	"testing"
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
	harmless := map[string]string{
		"LANG": "C.UTF-8", "LC_ALL": "de_DE.UTF-8@euro", "LC_CTYPE": "POSIX", "LANGUAGE": "en_GB:en", "TZ": "Europe/Berlin", "TERM": "xterm-256color",
		"HTTP_PROXY": "http://proxy.example:3128", "https_proxy": "http://[fd00::1]:3128/", "NO_PROXY": "localhost,127.0.0.1,.example.com,10.0.0.0/8",
		"PATH": "/opt/tools/bin:/usr/bin", "JAVA_HOME": "/usr/lib/jvm/java-21-openjdk-amd64", "PYTHONPATH": "/srv/lib:/srv/more", "GOPATH": "/go",
		"NOMAD_NAMESPACE": "default", "NOMAD_REGION": "global", "NOMAD_DC": "dc1",
		"EDITOR": "vim", "NODE_ENV": "production", "DEBUG": "true", "GOMAXPROCS": "4", "PORT": "8080", "FOO": "bar", "UNSET": "",
	}
	secret := map[string]string{
		"AWS_SECRET_ACCESS_KEY": "abc", "GITHUB_TOKEN": "a", "DB_PASSWORD": "swordfish", "PGPASSWORD": "x", "NOMAD_TOKEN": "1", "NOMAD_HTTP_AUTH": "a:b",
		"NOMAD_VAR_x": "1", "VAULT_TOKEN": "s.1", "OPENAI_API_KEY": "sk-1", "SIGNING_SEED": "word", "SESSION_COOKIE": "abc", "VAULT_NAMESPACE": "x",
		"SOMETHING": "hunter2", "OTHER": "ghp_0123456789abcdef", "ID": "0b5a7b3e-8e2f-4a51-9c40-0e5c8a6f8d11", "PLAIN": "correct horse battery staple",
		"HTTP_PROXY": "http://user:password@proxy.example:3128", "ALL_PROXY": "socks5://user@proxy", "https_proxy": "user:pw@proxy:3128",
		"DATABASE_URL": "postgres://u:p@db/x", "HOOK": "https://hooks.example/services/T00/B00/XXXX", "NUMBER": "123456", "API_KEY_PATH": "/x",
		"PYTHONPATH": "token=abc", "HEX": "deadbeefdeadbeefdeadbeef", "LANG": "C; echo secret", "JSON": `{"a":"b"}`,
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
	many := strings.Split("a b c d e f g h i j", " ")
	if note := withheldNote(many); !strings.Contains(note[0], `"d"] and 6 more`) || strings.Contains(note[0], `"e"`) {
		t.Errorf("note %q", note)
	}
}
