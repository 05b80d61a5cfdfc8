// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package attack

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/nomad/plugins/drivers"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/driver"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// authorStories are what the author of a job tries besides naming places.
func authorStories() []story {
	return append(append(append(authorUsers(), authorEnvironment()...), authorTexts()...), authorCeilings()...)
}

const stolenUser = 80123

// authorUsers become someone else.
func authorUsers() (stories []story) {
	stories = append(stories, story{
		name: "author_user_of_other_task", about: "Says user = \"nomad-N\", the dynamic user of another task, and reads what belongs to it.", once: true,
		play: func(s *scene) {
			other := s.company("other", fmt.Sprintf("nomad-%d", stolenUser))
			s.check(s.start(other.task(driver.TaskConfig{Command: "/bin/sleep", Args: []string{"1000"}, Policy: s.policy(nil, nil)})))
			file := s.plant(s.path("shared/private"))
			check(s.t, os.Chown(file, stolenUser, stolenUser))
			check(s.t, os.Chmod(file, 0o600))
			thief := s.company("attack", fmt.Sprintf("nomad-%d", stolenUser)) // the client prepares what the job says
			for _, name := range []string{fmt.Sprintf("nomad-%d", stolenUser), fmt.Sprint(stolenUser)} {
				cfg, answers := thief.asked(driver.TaskConfig{Policy: s.policy(nil, []string{s.path("shared")})}, "!read|"+file)
				cfg.User = name
				s.beginTask(cfg, answers).finish().mayBeRefused("user", name)
			}
			// Nomad's own assignment of a user that no other task has.
			free := s.company("free", fmt.Sprintf("nomad-%d", stolenUser+1))
			free.probe(driver.TaskConfig{}, fmt.Sprintf("+euid|%d", stolenUser+1)).mustStart()
		},
	})
	for _, name := range []string{
		"4294967295", "nomad-4294967295", "nomad-4294967296", "nomad--1", "-1", "nomad-0", "0", "00", "+0", "nomad-00", "0x0", " 0", "nomad-80000 ", "root", "nomad-",
		"18446744073709551615", "nomad-18446744073709551616", "4294967296", "\x000", "root\n", "1:0", "nomad-1e1",
	} {
		stories = append(stories, story{
			name:  "author_user_" + plain(name),
			about: fmt.Sprintf("Says user = %q, of which some part of the way makes 0 or -1, where the operator does not allow root.", name), once: true,
			play: func(s *scene) {
				s.configure(func(c *driver.Config) { c.AllowRoot = false })
				c := s.resident()
				secret := s.plant(s.path("srv/secret"))
				check(s.t, os.Chown(secret, 0, 0))
				check(s.t, os.Chmod(secret, 0o600))
				s.controlAs("root", "!read|"+secret)
				cfg, file := c.asked(driver.TaskConfig{Policy: s.policy(nil, []string{s.path("srv")})}, "!read|"+secret, "!euid|0", "!euid|4294967295")
				cfg.User = name
				check(s.t, os.Chmod(c.taskDir.LocalDir, 0o777))
				s.beginTask(cfg, file).finish().mustBeRefused("user", strings.Trim(fmt.Sprintf("%q", name), `"`))
			},
		})
	}
	return stories
}

// plain makes a name for a row.
func plain(name string) string {
	text := strings.Trim(fmt.Sprintf("%q", name), `"`)
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '+' {
			return r
		}
		return '.'
	}, text)
}

// check ends the scene if what it needs cannot be made.
func (s *scene) check(err error) {
	s.t.Helper()
	check(s.t, err)
}

// authorEnvironment forges what Nomad tells the driver by the environment.
func authorEnvironment() (stories []story) {
	for variable, host := range map[string]func(s *scene) string{
		"NOMAD_TASK_DIR":    func(s *scene) string { return s.victim.seen + "/local" },
		"NOMAD_ALLOC_DIR":   func(s *scene) string { return s.victim.seen + "/alloc" },
		"NOMAD_SECRETS_DIR": func(s *scene) string { return s.victim.seen + "/secrets" },
	} {
		for name, value := range map[string]func(s *scene, c *company) string{
			"victim": func(s *scene, _ *company) string { return host(s) },
			"etc":    func(*scene, *company) string { return "/etc/nomad.d" },
			"link":   func(s *scene, c *company) string { return s.link(host(s), c.local("forged-"+variable)) },
			"dotdot": func(s *scene, c *company) string {
				rest, err := filepath.Rel(c.seen, host(s))
				s.check(err)
				return c.seen + "/" + rest
			},
			"relative": func(*scene, *company) string { return "../" },
			"empty":    func(*scene, *company) string { return "" },
		} {
			stories = append(stories, story{
				name: "author_env_" + strings.ToLower(variable) + "_" + name, about: "The job's env block sets " + variable + " to a place that is not the task's (" + name + ").", once: true,
				play: func(s *scene) {
					c := s.company("attack", s.profile.user)
					s.control("!steal|" + s.victim.seen)
					cfg, file := c.asked(driver.TaskConfig{}, "!steal|"+s.victim.seen, "!steal|"+s.victim.dir.AllocDir, "!steal|/etc/nomad.d")
					cfg.Env[variable] = value(s, c)
					s.beginTask(cfg, file).finish().mayBeRefused(variable)
				},
			})
		}
	}
	return stories
}

// authorTexts are words that confuse who reads or stores them.
func authorTexts() (stories []story) {
	const hostile = "x\x1b[31mRED\nFAKE: Terminated\x07\u009b\u202e"
	add := func(name, about, field string, set func(s *scene, c *company, config *driver.TaskConfig, cfg func(func(*drivers.TaskConfig)))) {
		stories = append(stories, story{name: "author_" + name, about: about, once: true, play: func(s *scene) {
			c := s.company("attack", s.profile.user)
			var late []func(*drivers.TaskConfig)
			config := driver.TaskConfig{Policy: s.policy(nil, nil)}
			set(s, c, &config, func(f func(*drivers.TaskConfig)) { late = append(late, f) })
			started := config.Command == ""
			cfg, file := c.asked(config, "+stat|/etc/passwd")
			for _, f := range late {
				f(cfg)
			}
			p := s.beginTask(cfg, file)
			if p.refused == nil && started {
				p.finish()
			}
			p.mayBeRefused(field)
			s.printable("an event", s.said(cfg.ID))
			s.held("readable")
		}})
	}
	add("text_command", "A command whose name holds escape sequences and a line break.", "command",
		func(_ *scene, _ *company, config *driver.TaskConfig, _ func(func(*drivers.TaskConfig))) {
			config.Command = "/usr/bin/" + hostile
		})
	add("text_command_link", "A command that is a link to a directory whose name holds escape sequences.", "command",
		func(s *scene, c *company, config *driver.TaskConfig, _ func(func(*drivers.TaskConfig))) {
			s.check(os.Mkdir(c.local(hostile+"\x9b"), 0o777))
			s.link(hostile+"\x9b", c.local("prog"))
			config.Command = "local/prog"
		})
	add("text_work_dir", "A working directory whose name holds escape sequences.", "work_dir",
		func(_ *scene, _ *company, config *driver.TaskConfig, _ func(func(*drivers.TaskConfig))) {
			config.WorkDir = "local/" + hostile
		})
	add("text_root", "Roots whose names hold escape sequences.", "workspace_roots",
		func(_ *scene, _ *company, config *driver.TaskConfig, _ func(func(*drivers.TaskConfig))) {
			config.Policy.WorkspaceRoots = []string{"/srv/" + hostile}
		})
	add("text_root_link", "A root that a task has made a link to a name with escape sequences.", "workspace_roots",
		func(s *scene, c *company, config *driver.TaskConfig, _ func(func(*drivers.TaskConfig))) {
			s.link("/srv/"+hostile+"\x9b", c.local("link"))
			config.Policy.WorkspaceRoots = []string{"local/link"}
		})
	add("text_root_parent_link", "A root beneath a file whose name holds escape sequences, by a link.", "read_only_roots",
		func(s *scene, c *company, config *driver.TaskConfig, _ func(func(*drivers.TaskConfig))) {
			s.plant(c.local(hostile + "\x9b"))
			s.link(hostile+"\x9b", c.local("link"))
			config.Policy.ReadOnlyRoots = []string{"local/link/below"}
		})
	add("text_user", "A user whose name holds escape sequences.", "user",
		func(_ *scene, _ *company, _ *driver.TaskConfig, cfg func(func(*drivers.TaskConfig))) {
			cfg(func(c *drivers.TaskConfig) { c.User = hostile })
		})
	add("text_volume", "A volume with escape sequences in its destination.", "volume_mount",
		func(s *scene, _ *company, _ *driver.TaskConfig, cfg func(func(*drivers.TaskConfig))) {
			cfg(func(c *drivers.TaskConfig) {
				c.Mounts = []*drivers.MountConfig{{TaskPath: "/proc/" + hostile, HostPath: s.dir, PropagationMode: hostile}}
			})
		})
	add("text_device", "A device with escape sequences in its name.", "device",
		func(_ *scene, _ *company, _ *driver.TaskConfig, cfg func(func(*drivers.TaskConfig))) {
			cfg(func(c *drivers.TaskConfig) {
				c.Devices = []*drivers.DeviceConfig{{TaskPath: "/dev/" + hostile, HostPath: "/dev/null", Permissions: hostile}}
			})
		})
	add("text_profile", "Names of profile, level and modes that hold escape sequences.", "sandbox_profile",
		func(_ *scene, _ *company, config *driver.TaskConfig, _ func(func(*drivers.TaskConfig))) {
			config.Policy.SandboxProfile, config.Policy.SideEffectLevel, config.PIDMode = hostile, hostile, hostile
			config.Policy.Capabilities = map[string][]string{hostile: {hostile}, "workspace": {hostile}}
		})
	add("text_task_dir", "NOMAD_TASK_DIR with escape sequences.", "NOMAD_TASK_DIR",
		func(_ *scene, _ *company, _ *driver.TaskConfig, cfg func(func(*drivers.TaskConfig))) {
			cfg(func(c *drivers.TaskConfig) { c.Env["NOMAD_TASK_DIR"] = "/" + hostile + "/local" })
		})
	add("text_ulimit", "A limit and a capability whose names hold escape sequences.", "ulimit",
		func(_ *scene, _ *company, config *driver.TaskConfig, _ func(func(*drivers.TaskConfig))) {
			config.Ulimit, config.CapAdd = map[string]string{hostile: hostile}, []string{hostile}
		})
	// What is cut short says something else than it said.
	cut := func(name, about, field string, change func(config *driver.TaskConfig, cfg *drivers.TaskConfig)) {
		stories = append(stories, story{name: "author_" + name, about: about, once: true, play: func(s *scene) {
			c := s.resident()
			config := driver.TaskConfig{Policy: s.policy(nil, nil)}
			_, file := c.asked(config)
			config.Command, config.Args = s.suite, []string{"probe", c.real("local/" + filepath.Base(file)), "!argument|x"}
			change(&config, nil)
			cfg := c.task(config)
			change(&driver.TaskConfig{}, cfg)
			s.beginTask(cfg, file).finish().mustBeRefused(field)
		}})
	}
	cut("nul_argument", "An argument with a NUL byte, which the kernel would cut short.", "args", func(config *driver.TaskConfig, _ *drivers.TaskConfig) {
		config.Args = append(config.Args, "!argument|x\x00y")
	})
	cut("nul_command", "A command with a NUL byte.", "command", func(config *driver.TaskConfig, _ *drivers.TaskConfig) { config.Command += "\x00y" })
	cut("nul_work_dir", "A working directory with a NUL byte.", "work_dir", func(config *driver.TaskConfig, _ *drivers.TaskConfig) { config.WorkDir = "local\x00/../.." })
	cut("nul_root", "A root with a NUL byte.", "read_only_roots", func(config *driver.TaskConfig, _ *drivers.TaskConfig) {
		if config.Policy != nil {
			config.Policy.ReadOnlyRoots = []string{"/usr/share\x00/x"}
		}
	})
	cut("nul_environment", "A variable with a NUL byte.", "env", func(_ *driver.TaskConfig, cfg *drivers.TaskConfig) {
		if cfg != nil {
			cfg.Env["EVIL"] = "a\x00PATH=/evil"
		}
	})
	cut("equals_environment", "A variable whose name holds the value of another.", "env", func(_ *driver.TaskConfig, cfg *drivers.TaskConfig) {
		if cfg != nil {
			cfg.Env["EVIL\x00LD_PRELOAD"] = "/evil"
		}
	})
	cut("megabyte_argument", "An argument of 1 MiB, which the kernel does not take.", "args", func(config *driver.TaskConfig, _ *drivers.TaskConfig) {
		config.Args = append(config.Args, strings.Repeat("a", 1<<20))
	})
	cut("megabyte_environment", "A variable of 1 MiB, which the kernel does not take.", "env", func(_ *driver.TaskConfig, cfg *drivers.TaskConfig) {
		if cfg != nil {
			cfg.Env["EVIL"] = strings.Repeat("a", 1<<20)
		}
	})
	return stories
}

// authorCeilings go beyond the operator's ceiling.
func authorCeilings() (stories []story) {
	add := func(name, about, field string, ceiling func(s *scene) *policy.Policy, ask func(s *scene, c *company, p *policy.Policy)) {
		stories = append(stories, story{name: "author_ceiling_" + name, about: about, once: true, play: func(s *scene) {
			s.guard(s.path("inside/file"))
			s.guard(s.path("outside/file"))
			s.mkdir("outside/mount")
			check(s.t, os.Chown(s.path("inside"), 0, 0))
			c := s.company("attack", s.profile.user)
			ask(s, c, s.policy(nil, nil))
			p := s.policy(nil, nil)
			ask(s, c, p)
			operations := []string{"!steal|" + s.path("outside"), "!write|" + s.path("outside/file"), "!steal|" + c.real("volume"), "!write|" + c.real("volume/file")}
			s.control(operations[:2]...)
			c.probe(driver.TaskConfig{Policy: p.Clone()}, "sleep|0s").mustStart() // without the ceiling, it works
			s.configure(func(config *driver.Config) { config.Ceiling = ceiling(s) })
			c.probe(driver.TaskConfig{Policy: p.Clone()}, operations...).mustBeRefused(field)
			c.mounts = nil
			own := s.policy([]string{c.env["NOMAD_TASK_DIR"], c.env["NOMAD_ALLOC_DIR"] + "/data"}, nil)
			c.probe(driver.TaskConfig{Policy: own}, "+create|"+c.real("alloc/data/new-"+filepath.Base(s.dir))).mustStart()
		}})
	}
	nothing := []string{}
	emptyReadOnly := func(*scene) *policy.Policy { return &policy.Policy{ReadOnlyRoots: nothing} }
	emptyWorkspace := func(*scene) *policy.Policy { return &policy.Policy{WorkspaceRoots: nothing} }
	emptyBoth := func(*scene) *policy.Policy { return &policy.Policy{WorkspaceRoots: nothing, ReadOnlyRoots: nothing} }
	inside := func(s *scene) *policy.Policy {
		return &policy.Policy{WorkspaceRoots: []string{s.path("inside")}, ReadOnlyRoots: []string{s.path("inside")}}
	}
	readOnly := func(path string) func(*scene, *company, *policy.Policy) {
		return func(s *scene, _ *company, p *policy.Policy) { p.ReadOnlyRoots = []string{s.path(path)} }
	}
	workspace := func(path string) func(*scene, *company, *policy.Policy) {
		return func(s *scene, _ *company, p *policy.Policy) { p.WorkspaceRoots = []string{s.path(path)} }
	}
	volume := func(path string, ro bool) func(*scene, *company, *policy.Policy) {
		return func(s *scene, c *company, _ *policy.Policy) {
			c.mounts = []*drivers.MountConfig{{TaskPath: "volume", HostPath: s.path(path), Readonly: ro, PropagationMode: "private"}}
		}
	}
	linked := func(ask func(*scene, *company, *policy.Policy)) func(*scene, *company, *policy.Policy) {
		return func(s *scene, c *company, p *policy.Policy) {
			for _, dir := range []string{s.dir, s.path("inside")} { // the link must be where nobody else can move it
				s.check(os.Chown(dir, 0, 0))
				s.check(os.Chmod(dir, 0o777|os.ModeSticky))
			}
			_ = os.Symlink(s.path("outside"), s.path("inside/link"))
			ask(s, c, p)
		}
	}
	add("empty_read_only", "A read-only root under ceiling { read_only_roots = [] }, which means none.", "read_only_roots", emptyReadOnly, readOnly("outside"))
	add("empty_read_only_by_workspace_ceiling", "A read-only root under ceiling { workspace_roots = [] read_only_roots = [] }.", "read_only_roots", emptyBoth, readOnly("outside"))
	add("empty_workspace", "A workspace root under ceiling { workspace_roots = [] }.", "workspace_roots", emptyWorkspace, workspace("outside"))
	add("empty_both_workspace", "A workspace root under ceiling { workspace_roots = [] read_only_roots = [] }.", "workspace_roots", emptyBoth, workspace("outside"))
	add("beyond_read_only", "A read-only root beside the ceiling's.", "read_only_roots", inside, readOnly("outside"))
	add("beyond_workspace", "A workspace root beside the ceiling's.", "workspace_roots", inside, workspace("outside"))
	add("above", "A workspace root above the ceiling's.", "workspace_roots", inside, workspace("."))
	add("dotdot", "A workspace root that leaves the ceiling's by two dots.", "workspace_roots", inside, func(s *scene, _ *company, p *policy.Policy) {
		p.WorkspaceRoots = []string{s.path("inside") + "/../outside"}
	})
	add("prefix", "A workspace root whose name begins with the ceiling's.", "workspace_roots", inside, func(s *scene, _ *company, p *policy.Policy) {
		p.WorkspaceRoots = []string{s.mkdir("inside-too")}
	})
	add("workspace_in_read_only", "A workspace root where the ceiling has a read-only root.", "workspace_roots", func(s *scene) *policy.Policy {
		return &policy.Policy{WorkspaceRoots: nothing, ReadOnlyRoots: []string{s.path("outside")}}
	}, workspace("outside"))
	add("link_workspace", "A workspace root in the ceiling that is a link out of it.", "workspace_roots", inside, linked(workspace("inside/link")))
	add("link_read_only", "A read-only root in the ceiling that is a link out of it.", "read_only_roots", inside, linked(readOnly("inside/link")))
	add("link_below", "A workspace root in the ceiling, through a link out of it.", "workspace_roots", inside, linked(workspace("inside/link/mount")))
	add("volume", "A volume from beyond the ceiling.", "volume_mount", inside, volume("outside", false))
	add("volume_read_only", "A read-only volume from beyond the ceiling.", "volume_mount", inside, volume("outside", true))
	add("volume_empty", "A volume under a ceiling of empty lists.", "volume_mount", emptyBoth, volume("outside", false))
	add("volume_link", "A volume in the ceiling that is a link out of it.", "volume_mount", inside, linked(volume("inside/link", false)))
	add("volume_write", "A writable volume where the ceiling has a read-only root.", "volume_mount", func(s *scene) *policy.Policy {
		return &policy.Policy{WorkspaceRoots: nothing, ReadOnlyRoots: []string{s.path("outside")}}
	}, volume("outside", false))
	// Volumes that lead elsewhere than their destination says.
	stories = append(stories,
		story{
			name: "author_volume_destination_link", about: "A volume whose destination leads through a link of the task's directory to the host's files.",
			play: func(s *scene) {
				c := s.company("attack", s.profile.user)
				outside := s.mkdir("outside")
				s.guard(outside + "/file")
				s.plant(s.path("volume/file"))
				s.link(outside, c.local("link"))
				for _, destination := range []string{"local/link/made/deep", "local/link/file", "local/../../made"} {
					c.mounts = []*drivers.MountConfig{{TaskPath: destination, HostPath: s.path("volume"), PropagationMode: "private"}}
					c.probe(driver.TaskConfig{}, "!steal|"+outside).mayBeRefused("volume_mount", destination)
				}
				for _, made := range []string{outside + "/made", s.alloc + "/made", s.mounts + "/made", filepath.Dir(s.mounts) + "/made"} {
					if _, err := os.Lstat(made); err == nil {
						s.escape("%s was made on the host", made)
					}
				}
				c.mounts = []*drivers.MountConfig{{TaskPath: "local/volume", HostPath: s.path("volume"), PropagationMode: "private"}}
				c.probe(driver.TaskConfig{}, "+steal|"+c.real("local/volume")).mustStart()
			},
		},
		story{
			name: "author_volume_over_mask", about: "A volume over a directory that holds masked paths, or over a mask, with a copy of what is masked.", unprivileged: true,
			play: func(s *scene) {
				c := s.resident()
				for _, destination := range []string{"/etc/nomad.d", "/etc/ssl/private", c.real("alloc/logs"), "/tmp/x", s.mounts, s.state} {
					c.mounts = []*drivers.MountConfig{{TaskPath: destination, HostPath: "/etc/nomad.d", PropagationMode: "private"}}
					place := destination
					if place == "/tmp/x" { // it may be there, and what it shows may not
						place = "/etc/nomad.d"
					}
					c.probe(driver.TaskConfig{}, "!steal|"+destination).mustBeRefused("volume_mount", place)
				}
			},
		},
		story{
			name: "author_device_of_disk", about: "A device of a device plugin by the name of another, and outside of /dev.", root: true,
			play: func(s *scene) {
				c := s.resident()
				disk := s.path("disk")
				s.check(unix.Mknod(disk, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))))
				for _, d := range []*drivers.DeviceConfig{
					{TaskPath: c.real("local/disk"), HostPath: disk, Permissions: "rwm"},
					{TaskPath: "/dev/../etc/disk", HostPath: disk, Permissions: "rw"},
					{TaskPath: "/dev/null/../../tmp/disk", HostPath: disk, Permissions: "rw"},
					{TaskPath: "/dev/x", HostPath: "/etc/shadow", Permissions: "rw"},
					{TaskPath: "/dev/x", HostPath: "/etc/nomad.d", Permissions: "rw"},
				} {
					cfg, file := c.asked(driver.TaskConfig{}, "!device|"+filepath.Clean(d.TaskPath), "!steal|"+filepath.Clean(d.TaskPath))
					cfg.Devices = []*drivers.DeviceConfig{d}
					s.beginTask(cfg, file).finish().mustBeRefused("device", d.TaskPath, d.HostPath)
				}
				cfg, file := c.asked(driver.TaskConfig{}, "+device|/dev/given")
				cfg.Devices = []*drivers.DeviceConfig{{TaskPath: "/dev/given", HostPath: "/dev/zero", Permissions: "r"}}
				s.beginTask(cfg, file).finish().mustStart()
			},
		},
		story{
			name: "author_host_pid_same_user", about: "pid_mode = \"host\", which the operator admits: a process of the same user is not to be read, entered or sent a signal.",
			unprivileged: true,
			play: func(s *scene) {
				s.configure(func(c *driver.Config) { c.AllowHostPID = true })
				pid, alive := s.bystander(nil)
				c := s.company("attack", s.profile.user)
				path := fmt.Sprintf("/proc/%d/", pid)
				list := []string{"!read|" + path + "environ", "!steal|" + path + "cwd/secret", "!read|" + path + "root" + s.path("bystander/secret"), "!peek|" + path + "fd/0"}
				s.control(list...)
				c.probe(driver.TaskConfig{PIDMode: "host"}, append(list, fmt.Sprintf("!kill|%d", pid))...).mustStart()
				if !alive() {
					s.escape("the process was killed")
				}
			},
		},
		story{
			name: "author_pid_mode_refused", about: "pid_mode and ipc_mode = \"host\", which the operator does not admit.", once: true,
			play: func(s *scene) {
				c := s.resident()
				pid, alive := s.bystander(nil)
				c.probe(driver.TaskConfig{PIDMode: "host"}, fmt.Sprintf("!stat|/proc/%d/status", pid), fmt.Sprintf("!kill|%d", pid)).mustBeRefused("pid_mode", "host")
				c.probe(driver.TaskConfig{IPCMode: "host"}, "sleep|0s").mustBeRefused("ipc_mode", "host")
				if !alive() {
					s.escape("the process was killed")
				}
			},
		},
	)
	for _, kind := range []string{"connect", "send"} {
		stories = append(stories, story{
			name: "author_socket_root_" + kind, about: "Uses a socket root to reach sockets outside of it: by a link, by replacing a socket, by two dots (" + kind + ").",
			unprivileged: true, network: true,
			play: func(s *scene) {
				inside, outside := s.mkdir("in"), s.mkdir("out")
				if kind == "connect" {
					serve(s.t, "unix", inside+"/s")
					serve(s.t, "unix", outside+"/s")
				} else {
					datagrams(s.t, inside+"/s")
					datagrams(s.t, outside+"/s")
				}
				s.link(outside+"/s", inside+"/link")
				s.link("../out", inside+"/dir")
				c := s.company("attack", s.profile.user)
				p := s.policy(nil, nil)
				p.UnixSocketRoots = []string{inside}
				bad := []string{"!" + kind + "|" + outside + "/s", "!" + kind + "|" + inside + "/link", "!" + kind + "|" + inside + "/dir/s", "!" + kind + "|" + inside + "/../out/s"}
				s.control(bad...)
				result := c.probe(driver.TaskConfig{Policy: p}, append(bad, "+"+kind+"|"+inside+"/s", "!create|"+inside+"/new", "!unlink|"+inside+"/s")...)
				if s.abi < 9 {
					result.mustBeRefused("unix_socket_roots", "ABI")
					return
				}
				result.mustStart()
			},
		})
	}
	return stories
}
