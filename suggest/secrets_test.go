// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package suggest

import "testing"

// What programs of many kinds keep in a home, and what they install there.
func TestSecretsAreNotSuggested(t *testing.T) {
	g := host(t, "/etc/passwd")
	for _, home := range []string{"/root", "/home/nobody-knows-her"} {
		for _, file := range []string{
			".git-credentials", ".pgpass", ".vault-token", ".my.cnf", ".s3cfg", ".boto", ".bash_history", ".psql_history", ".codex/auth.json", ".claude/.credentials.json",
			".claude.json", ".gemini/oauth_creds.json", ".local/share/opencode/auth.json", ".local/share/keyrings/login.keyring", ".terraform.d/credentials.tfrc.json",
			".azure/accessTokens.json", ".oci/config", ".fly/config.yml", ".cloudflared/cert.pem", ".m2/settings.xml", ".gem/credentials", ".gradle/gradle.properties",
			".password-store/x.gpg", ".mozilla/firefox/x/logins.json", ".config/google-chrome/Default/Cookies", ".Xauthority", ".bitcoin/wallet.dat", ".config",
			".config/sops/age/keys.txt", "project/.env", "project/.env.production", "project/id_rsa", "project/deploy.key", ".local", ".local/share", ".ssh", ".cargo/credentials.toml",
		} {
			if why := g.Refuse(home + "/" + file); why == "" {
				t.Errorf("%s/%s: suggested", home, file)
			}
		}
		for _, file := range []string{
			".nvm/versions/node/v22/bin/node", ".cargo/bin/cargo", ".rustup/toolchains", ".pyenv/versions/3.12", ".local/bin/uv", ".m2/repository/junit", ".cache/pip", "project/main.py",
			"project/data.json", "project/.git/HEAD", "project/id_rsa.pub", "project/.venv/bin/python",
		} {
			if why := g.Refuse(home + "/" + file); why != "" {
				t.Errorf("%s/%s: %s", home, file, why)
			}
		}
	}
	for path, want := range map[string]bool{
		"/srv/app/.env": false, "/srv/app/tls/server.key": false, "/opt/x/terraform.tfstate": false, "/srv/app/credentials.json": false,
		"/etc/ssl/certs/a.pem": true, "/usr/share/doc/x/example.key": true, "/srv/app/env": true, "/srv/keys.txt": true, "/srv/.hidden/file": true,
	} {
		if why := g.Refuse(path); (why == "") != want {
			t.Errorf("%s: %q", path, why)
		}
	}
}
