// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package suggest

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// tools are the hidden directories of a home that hold programs, or what programs
// download, rather than what they keep for their user: those that Harn's preset shows,
// and others. Where one has secrets besides, [policy.Credentials] names them.
var tools = slices.Concat(policy.HomePresets[policy.DeveloperToolchains].Read, []string{
	".cache", ".config/fontconfig", ".config/nvim", ".deno", ".dotnet", ".fonts", ".gitconfig", ".gitignore", ".go", ".gradle", ".konan", ".linuxbrew",
	".local/lib", ".local/share/virtualenvs", ".m2/repository", ".npm", ".npm-global", ".opencode/bin", ".pnpm-store", ".venv", ".venvs", ".vimrc", ".virtualenvs", ".yarn",
})

// secretNames are names of files, wherever they are, that are made to hold secrets,
// as patterns of path.Match.
var secretNames = []string{
	".env", ".env.*", ".envrc", ".netrc", "_netrc", ".pgpass", ".my.cnf", ".mylogin.cnf", ".git-credentials", ".htpasswd", ".vault-token", ".npmrc", ".pypirc",
	".*_history", ".dockercfg", "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "*.key", "*.p12", "*.pfx", "*.kdbx", "*.jks", "*.keystore", "*.gpg", "*.keyring", "*.age",
	"*.tfstate", "*.tfstate.backup", "wallet.dat", "credentials", "credentials.json", "credentials.toml", "credentials.y*ml", "oauth_creds.json", "auth.json",
	"secrets.y*ml", "secrets.json", "secrets.toml", "service-account*.json", "gradle.properties", "settings-security.xml", "terraform.tfvars",
}

// public are directories whose files everybody has: keys there are certificates of
// others, and examples.
var public = []string{"/usr", "/etc/ssl/certs", "/etc/pki/ca-trust", "/etc/ca-certificates"}

// secret says why a path may hold a secret of a person or program, by its name
// alone; "" if it does not look so.
func (g *Guard) secret(name string) string {
	if slices.ContainsFunc(public, func(dir string) bool { return landlock.Beneath(dir, name) }) {
		return ""
	}
	for _, home := range g.homesOfPeople() {
		if hidden := hiddenIn(home, name); hidden != "" {
			return fmt.Sprintf("it is in %s, which is hidden in a home: programs keep credentials in such", plain.Name(hidden))
		}
	}
	for _, pattern := range secretNames {
		if match, _ := path.Match(pattern, path.Base(name)); match && !strings.HasSuffix(name, ".pub") {
			return fmt.Sprintf("by its name (%s) it may hold a secret", pattern)
		}
	}
	return ""
}

// hiddenIn is the hidden file or directory of a home at or above a path, "" if there
// is none, or it is of tools. homes is a home, or the directory of homes.
func hiddenIn(homes, name string) string {
	if !landlock.Beneath(homes, name) {
		return ""
	}
	if homes == "/home" {
		user, _, below := strings.Cut(strings.TrimPrefix(name, "/home/"), "/")
		if !below {
			return ""
		}
		homes = path.Join("/home", user)
	}
	rel := strings.TrimPrefix(strings.TrimPrefix(name, homes), "/")
	if !strings.HasPrefix(rel, ".") || slices.ContainsFunc(tools, func(tool string) bool { return landlock.Beneath(tool, rel) }) {
		return ""
	}
	first, _, _ := strings.Cut(rel, "/")
	return path.Join(homes, first)
}
