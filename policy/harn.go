// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package policy

// Lists that are Harn's own.

// Names of Harn's presets.
const (
	SystemRuntime        = "system_runtime"
	DeveloperToolchains  = "developer_toolchains"
	PackageManagerConfig = "package_manager_config"
	UserTemp             = "user_temp"
)

// HarnPresets are the presets that Harn knows.
var HarnPresets = []string{SystemRuntime, DeveloperToolchains, PackageManagerConfig, UserTemp}

// HomePreset is what a preset of Harn's has below a home. What is not there is left out.
type HomePreset struct {
	Read  []string
	Write []string // read, and written if the task may write
}

// HomePresets are Harn's presets that have something below a home.
var HomePresets = map[string]HomePreset{
	DeveloperToolchains: {
		Read: []string{
			".asdf", ".bun", ".cargo", ".fnm", ".juliaup", ".local/bin", ".local/share/mise", ".local/share/pnpm", ".local/share/uv",
			".nvm", ".pyenv", ".rbenv", ".rustup", ".sdkman", ".swiftly", ".volta", "go",
		},
		Write: []string{
			".gradle", ".m2", ".konan", ".cache/go-build", "go/pkg/mod", ".cache/harn", ".cargo/registry", ".cargo/git", ".cargo/.package-cache",
		},
	},
	PackageManagerConfig: {
		Read: []string{
			".gitconfig", ".yarnrc.yml", ".config", ".npm", ".cache", ".pip", ".composer", ".cargo/config", ".cargo/config.toml",
		},
	},
}

// Credentials are what Harn denies below each home, whatever a policy grants there.
var Credentials = []string{
	".ssh", ".aws", ".gnupg", ".netrc", ".docker/config.json", ".config/gh/hosts.yml", ".config/gcloud", ".kube/config", ".npmrc",
	".pypirc", ".cargo/credentials", ".cargo/credentials.toml", ".composer/auth.json", ".config/composer/auth.json",
	".config/git/credentials", ".config/glab-cli", ".config/hub", ".config/github-copilot", ".config/rclone/rclone.conf",
	".config/doctl", ".config/hcloud", ".config/containers/auth.json", ".config/.wrangler", ".config/stripe", ".config/sops/age",
	".config/configstore/firebase-tools.json", ".cache/huggingface/token", ".cache/huggingface/stored_tokens",
}
