// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package e2e

const session = "made by a command, made by a tool\n"

// works as it is.
var works = cell{}

// needsNetwork of a program is TCP, if only within the task.
func needsNetwork(fails string) cell {
	return cell{fails: fails, line: `side_effect_level = "network"`}
}

// needsUNIX is a server on a UNIX socket with a path, within the task. From
// Landlock ABI 9 on it works without network.
var needsUNIX = cell{
	fails: "Operation not permitted|PermissionError",
	line:  "side_effect_level = \"network\"\ntcp_connect = []\ntcp_bind = [0]",
	abi:   9,
}

// What agents say that do not reach their model, if they say anything in time.
const noModel = `has not ended|network|fetch failed|[Cc]onnect|EPERM`

var (
	agent3 = []cell{works, needsNetwork(noModel), works}
	unix3  = []cell{works, needsUNIX, works}
	tcp3   = []cell{works, needsNetwork("Operation not permitted"), works}
)

const (
	noMounts     = "Landlock denies mounts, and writing `/proc/self/uid_map`"
	noNamespaces = "seccomp denies namespaces"
)

// cannot is a row's cells for a program that makes namespaces and mounts.
func cannot(worktree, noNetwork, hardened string) []cell {
	return []cell{{fails: worktree, because: noMounts}, {fails: noNetwork, because: noMounts}, {fails: hardened, because: noNamespaces}}
}

var whatRuns = []row{
	{title: "Claude Code", job: "claude-code", from: []string{"npm @anthropic-ai/claude-code"}, want: session, cells: agent3},
	{title: "Codex", job: "codex", from: []string{"npm @openai/codex"}, want: session, cells: agent3, note: "With `--sandbox danger-full-access`: the driver confines it."},
	{
		title: "Codex's own sandbox", job: "codex-sandbox", from: []string{"npm @openai/codex"}, want: session,
		cells: cannot("bwrap: setting up uid map: Permission denied|Codex's Linux sandbox uses bubblewrap and needs access to create user namespaces", noModel, "bwrap: No permissions to create new namespace"),
		note:  "It is bubblewrap, also with `use_legacy_landlock`. Codex ends with status 0 all the same. Instead: the row above.",
	},
	{title: "Gemini CLI", job: "gemini-cli", from: []string{"npm @google/gemini-cli"}, want: session, cells: agent3, note: "Without `--sandbox`: the driver confines it."},
	{
		title: "Gemini CLI's own sandbox", job: "gemini-sandbox", from: []string{"npm @google/gemini-cli"}, want: session,
		cells: cannot("FatalSandboxError", "FatalSandboxError", "FatalSandboxError"), note: "It is a container: see podman. Instead: the row above.",
	},
	{title: "OpenCode", job: "opencode", from: []string{"npm opencode-ai"}, want: session, cells: agent3},
	{title: "MCP server for files", job: "mcp-filesystem", from: []string{"npm @modelcontextprotocol/server-filesystem"}, want: "read by the server\n\nwritten by the server"},
	{title: "Chromium, headless", job: "chromium", from: []string{"deb chromium"}, want: `<p id="sum">42</p>`, cells: unix3, note: "With `--no-sandbox`: the driver confines it. Without network, it still makes a UNIX socket to be the only one of its profile."},
	{
		title: "Chromium's own sandbox", job: "chromium-sandbox", from: []string{"deb chromium"}, want: `<p id="sum">42</p>`,
		cells: cannot("No usable sandbox", "No usable sandbox", "No usable sandbox"), note: "Instead: the row above.",
	},
	{title: "Playwright with Chromium", job: "playwright", from: []string{"npm playwright-core"}, want: "the button says 42\npage.png\n", cells: unix3, note: "With `chromiumSandbox: false`."},
	{title: "node: child processes, better-sqlite3", job: "node", from: []string{"npm better-sqlite3"}, want: "a child process\nsqlite says 42\na forked process says 42\n"},
	{title: "tsc", job: "typescript", from: []string{"npm typescript"}, want: "the sum is 42\n"},
	{title: "vite build", job: "vite", from: []string{"npm vite"}, want: "built by vite\n", note: "Its development server needs TCP: `side_effect_level = \"network\"`."},
	{title: "vitest", job: "vitest", from: []string{"npm vitest"}, want: "1 passed"},
	{title: "Python: asyncio, multiprocessing, sqlite", job: "python", from: []string{"deb python3"}, want: "asyncio's child\na thread says 42\na pool says [2, 4]\nsqlite says 42\n"},
	{title: "Python: multiprocessing.Manager", job: "python-manager", from: []string{"deb python3"}, want: "the manager has 42\n", cells: unix3},
	{title: "Java: channels, selectors, processes", job: "java", from: []string{"deb openjdk-17-jdk-headless"}, want: "a channel of some bytes: true\na selector: true\na child process\n"},
	{title: "Maven, offline", job: "maven", from: []string{"deb maven"}, want: "built by maven\n"},
	{title: "cargo, offline", job: "cargo", from: []string{"deb cargo"}, want: "built by cargo\n"},
	{title: "git with LFS", job: "git-lfs", from: []string{"deb git", "deb git-lfs"}, want: "both are the same\n"},
	{title: "sshd, ssh, git over ssh", job: "sshd", from: []string{"deb openssh-server"}, want: "git says over ssh\n", cells: tcp3},
	{title: "tmux", job: "tmux", from: []string{"deb tmux"}, want: "inside of tmux, /dev/pts/0\n", cells: unix3},
	{title: "PostgreSQL, psql", job: "postgresql", from: []string{"deb postgresql-15"}, want: "the database says 5050\n", cells: unix3},
	{title: "Redis", job: "redis", from: []string{"deb redis-server"}, want: "redis says 42\n", cells: unix3},
	{title: "nginx", job: "nginx", from: []string{"deb nginx-light"}, want: "served by nginx\n", cells: tcp3},
	{
		title: "a user namespace alone", job: "user-namespace", want: "in a user namespace: 0\n",
		cells: []cell{
			{fails: "cannot open /proc/self/uid_map: Permission denied", because: "Landlock denies writing `/proc/self/uid_map`"},
			{fails: "cannot open /proc/self/uid_map: Permission denied", because: "Landlock denies writing `/proc/self/uid_map`"},
			{fails: "unshare failed: Operation not permitted", because: noNamespaces},
		},
		note: "The namespace can be made in `worktree`, but no user be mapped in it.",
	},
	{
		title: "bubblewrap", job: "bubblewrap", from: []string{"deb bubblewrap"}, want: "inside of bubblewrap\n",
		cells: cannot("bwrap: setting up uid map: Permission denied", "bwrap: ", "bwrap: No permissions to create new namespace"),
		note:  "Instead: a task for each program to confine, with a policy of its own.",
	},
	{
		title: "podman without root", job: "podman", from: []string{"deb podman"}, want: "inside of podman\n",
		cells: cannot("/setgroups: permission denied|[Oo]peration not permitted", "[Oo]peration not permitted|permission denied", "cannot clone: Operation not permitted"), note: "Instead: Nomad's podman driver for the image, or its files in a volume and this driver.",
	},
}

const whatRunsHead = `# What runs

Programs under the driver, each in three policies: of the profile ` + "`worktree`" + ` and no other field; with
` + "`side_effect_level = \"process_exec\"`" + `, that is without network; of the profile ` + "`os_hardened`" + `. "Works with" names the lines of the
policy that it needs instead. Each program has a job with the narrowest policy that it works under; the programs are
installed under ` + "`/usr`" + `, those of npm in ` + "`/usr/local/lib/programs`" + `; elsewhere, change the paths in the job, and add ` + "`read_only_roots = [\"/opt/...\"]`" + `.

The agents run a session with a model's server on this machine, which has them run a command and write a file.

` + "`make programs`" + ` fetches the programs from Debian and npm, runs everything here under a Nomad agent, and writes this file.

| program, version | ` + "`worktree`" + ` | without network | ` + "`os_hardened`" + ` | |
|---|---|---|---|---|
`
