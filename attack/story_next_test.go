// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package attack

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/nomad/client/logmon"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/driver"
)

// nextStories are what a task prepares for its own next start in the same
// directories, or for another task of its allocation; or what an artifact has
// left there before the first.
func nextStories() []story {
	return append(append(append(nextReplaced(), nextGuards()...), nextArtifacts()...), nextLogs()...)
}

// kinds are what a task can put in the place of a file or directory.
var kinds = []struct{ name, operation string }{
	{"link", "symlink|OUTSIDE|PLACE"},
	{"relative_link", "symlink|RELATIVE|PLACE"},
	{"fifo", "mkfifo|PLACE"},
	{"file", "create|PLACE"},
	{"socket", "listen|PLACE"},
	{"nothing", "sleep|0s"},
}

// nextReplaced replaces each thing that the driver looks up at a start.
func nextReplaced() (stories []story) {
	type target struct {
		name, about string
		place       func(c *company) string // as the task sees it
		config      func(s *scene, config *driver.TaskConfig)
	}
	in := func(name string) func(c *company) string { return func(c *company) string { return c.real(name) } }
	targets := []target{
		{"workspace_root", "a workspace root", in("local/work"), func(s *scene, config *driver.TaskConfig) {
			config.Policy = s.policy([]string{"local/work", "local", "alloc", "tmp"}, nil)
		}},
		{"read_only_root", "a read-only root", in("local/work"), func(s *scene, config *driver.TaskConfig) {
			config.Policy = s.policy(nil, []string{"local/work"})
		}},
		{"work_dir", "the working directory", in("local/work"), func(s *scene, config *driver.TaskConfig) {
			config.Policy, config.WorkDir = s.policy(nil, nil), "local/work"
		}},
		{"tmp", "the directory that becomes /tmp", in("tmp"), func(s *scene, config *driver.TaskConfig) { config.Policy = s.policy(nil, nil) }},
		{"local", "its local directory", in("local"), func(s *scene, config *driver.TaskConfig) { config.Policy = s.policy(nil, nil) }},
		{"secrets", "its secrets directory", in("secrets"), func(s *scene, config *driver.TaskConfig) { config.Policy = s.policy(nil, nil) }},
		{"alloc", "its alloc directory", in("alloc"), func(s *scene, config *driver.TaskConfig) { config.Policy = s.policy(nil, nil) }},
		{"alloc_data", "the data directory of its allocation", in("alloc/data"), func(s *scene, config *driver.TaskConfig) {
			config.Policy = s.policy([]string{"alloc/data", "local"}, nil)
		}},
		{"alloc_logs", "the log directory of its allocation", in("alloc/logs"), func(s *scene, config *driver.TaskConfig) { config.Policy = s.policy(nil, nil) }},
	}
	for _, target := range targets {
		for _, kind := range kinds {
			stories = append(stories, story{
				name:  "next_" + target.name + "_" + kind.name,
				about: fmt.Sprintf("Puts a %s in the place of %s, for its next start.", kind.name, target.about), unprivileged: true, once: kind.name != "link",
				play: func(s *scene) {
					outside := s.guard(s.path("outside/secret"))
					c := s.company("attack", s.profile.user)
					s.mkdir(c.local("work"))
					place := target.place(c)
					relative, err := filepath.Rel(filepath.Dir(place), filepath.Dir(outside))
					s.check(err)
					plant := replaced(kind.operation, "OUTSIDE", filepath.Dir(outside), "RELATIVE", relative, "PLACE", place)
					s.control("!steal|"+filepath.Dir(outside), "!write|"+outside)
					// It may take what it answers by away: the second start shows what came of it.
					c.begin(driver.TaskConfig{}, "rename|"+place+"|"+place+"-old", plant).mustStart().end()
					config := driver.TaskConfig{}
					target.config(s, &config)
					cfg, file := c.asked(config, "!steal|"+place, "!steal|.", "!steal|/tmp", "!steal|"+filepath.Dir(outside),
						"!write|"+place+"/secret", "!write|secret", "!write|/tmp/secret", "!create|"+place+"/planted/"+"x")
					p := s.beginTask(cfg, file)
					if p.refused == nil {
						if _, err := s.wait(s.t, cfg.ID, startLimit); err != nil {
							s.fault("it does not end: %v", err)
						}
						if len(p.answers()) > 0 {
							p.finish()
						} else {
							s.held("no answer") // it has broken what it answers by: its own matter
						}
					}
					s.printableRefusal(p)
					if kind.name == "fifo" { // a start of another allocation works
						s.resident().probe(driver.TaskConfig{}, "+stat|/etc/passwd").mustStart()
					}
				},
			})
		}
	}
	return stories
}

// printableRefusal takes any reason for a refusal, if it can be read.
func (s *scene) printableRefusal(p *probe) {
	if p.refused != nil {
		s.held("refused")
		s.printable("the refusal", p.refused.Error())
	}
}

func replaced(text string, pairs ...string) string {
	return strings.NewReplacer(pairs...).Replace(text)
}

// nextGuards try to come by what a guard of an earlier start has kept from the
// task.
func nextGuards() []story {
	return []story{
		{
			name: "next_read_only_parent", about: "Renames the parent of a read-only root, makes another in its place, and writes to the first one after its next start.", unprivileged: true,
			play: func(s *scene) {
				c := s.company("attack", s.profile.user)
				s.mkdir(c.local("sub/ro"))
				file := s.plant(c.local("sub/ro/file"))
				s.mkdir(c.local("own"))
				s.control("!write|" + file)
				s.put(file)
				config := driver.TaskConfig{Policy: s.policy([]string{"local"}, []string{"local/sub/ro"})}
				c.probe(config, "+read|"+c.real("local/sub/ro/file"), "rename|"+c.real("local/sub")+"|"+c.real("local/old"), "!write|"+c.real("local/old/ro/file"), "!write|"+c.real("local/sub/ro/file"),
					"mkdir|"+c.real("local/sub"), "mkdir|"+c.real("local/sub/ro"), "+create|"+c.real("local/own/other")).mustStart()
				c.probe(config, "!write|"+c.real("local/old/ro/file"), "!write|"+c.real("local/sub/ro/file")).mayBeRefused("read_only_roots", "local/sub/ro")
			},
		},
		{
			name: "next_read_only_parent_left", about: "Renames the parent of a read-only root, and leaves its name free.", unprivileged: true,
			play: func(s *scene) {
				c := s.company("attack", s.profile.user)
				s.mkdir(c.local("sub/ro"))
				file := s.plant(c.local("sub/ro/file"))
				s.control("!write|" + file)
				config := driver.TaskConfig{Policy: s.policy([]string{"local"}, []string{"local/sub/ro"})}
				c.probe(config, "rename|"+c.real("local/sub")+"|"+c.real("local/old"), "!write|"+c.real("local/old/ro/file")).mustStart()
				c.probe(config, "!write|"+c.real("local/old/ro/file")).mayBeRefused("read_only_roots", "local/sub/ro")
			},
		},
		{
			name: "next_read_only_exchange", about: "Exchanges the parent of a read-only root with a directory of its own.", unprivileged: true,
			play: func(s *scene) {
				c := s.company("attack", s.profile.user)
				s.mkdir(c.local("sub/ro"))
				s.mkdir(c.local("mine/ro"))
				s.plant(c.local("sub/ro/file"))
				config := driver.TaskConfig{Policy: s.policy([]string{"local"}, []string{"local/sub/ro"})}
				for range 2 {
					c.probe(config, "exchange|"+c.real("local/sub")+"|"+c.real("local/mine"), "!write|"+c.real("local/mine/ro/file"), "!write|"+c.real("local/sub/ro/file")).mayBeRefused("read_only_roots")
				}
				s.control("!write|" + firstThat(c.local("sub/ro/file"), c.local("mine/ro/file")))
			},
		},
		{
			name: "next_read_only_by_other_task", about: "Another task of the allocation renames a read-only root away while this task runs, and it writes there.", unprivileged: true,
			play: func(s *scene) {
				c := s.company("attack", s.profile.user)
				other := c.sibling("other", s.profile.user)
				s.mkdir(c.shared("data/ro"))
				s.mkdir(c.shared("data/own"))
				file := s.plant(c.shared("data/ro/file"))
				s.control("!write|" + file)
				s.put(file)
				config := driver.TaskConfig{Policy: s.policy([]string{"alloc/data", "local"}, []string{"alloc/data/ro"})}
				p := c.begin(config, "!write|"+c.real("alloc/data/ro/file"), "wait|"+c.real("local/go"),
					"!write|"+c.real("alloc/data/ro/file"), "!write|"+c.real("alloc/data/away/file"), "!create|"+c.real("alloc/data/away/new"), "!create|"+c.real("alloc/data/ro/new"), "+create|"+c.real("alloc/data/own/mine"))
				p.mustStart()
				if p.until(1) {
					other.probe(driver.TaskConfig{Policy: s.policy([]string{"alloc/data", "local"}, nil)}, "rename|"+other.real("alloc/data/ro")+"|"+other.real("alloc/data/away"), "mkdir|"+other.real("alloc/data/ro"))
				}
				s.put(c.local("go"))
				p.finish() // what the other one may write, it may also give away for a next start
			},
		},
		{
			name: "next_mask_parent", about: "Renames the parent of a masked path in a writable root, and reads it at once and after its next start.", unprivileged: true,
			play: func(s *scene) {
				secret := s.plant(s.path("srv/sub/mask/secret"))
				s.plant(s.path("srv/file"))
				s.configure(func(c *driver.Config) { c.MaskedPaths = []string{s.path("srv/sub/mask")} })
				c := s.company("attack", s.profile.user)
				config := driver.TaskConfig{Policy: s.policy([]string{s.path("srv")}, nil)}
				s.control("!read|" + secret)
				c.probe(config, "!steal|"+s.path("srv/sub"), "rename|"+s.path("srv/sub")+"|"+s.path("srv/old"), "!steal|"+s.path("srv/old"), "mkdir|"+s.path("srv/sub"), "+read|"+s.path("srv/file")).mustStart()
				c.probe(config, "!steal|"+s.path("srv/old"), "!steal|"+s.path("srv/sub")).mayBeRefused("workspace_roots", s.path("srv"))
			},
		},
		{
			name: "next_mask_link", about: "Makes hard links to a masked file, and moves it, in a writable root.", unprivileged: true,
			play: func(s *scene) {
				s.plant(s.path("srv/file"))
				secret := s.plant(s.path("srv/mask"))
				s.configure(func(c *driver.Config) { c.MaskedPaths = []string{secret} })
				c := s.company("attack", s.profile.user)
				s.control("!link|"+secret+"|"+s.path("control"), "!steal|"+s.path("control"))
				config := driver.TaskConfig{Policy: s.policy([]string{s.path("srv")}, nil)}
				for range 2 {
					c.probe(config, "link|"+secret+"|"+s.path("srv/copy"), "rename|"+secret+"|"+s.path("srv/moved"), "exchange|"+secret+"|"+s.path("srv/mine"), "unlink|"+secret,
						"!read|"+s.path("srv/copy"), "!read|"+s.path("srv/moved"), "!read|"+s.path("srv/mine"), "!read|"+secret, "+write|"+s.path("srv/file")).mustStart()
				}
			},
		},
		{
			name: "next_read_only_link", about: "Makes hard links to files of a read-only root in the writable root around it, and writes by them.", unprivileged: true,
			play: func(s *scene) {
				c := s.company("attack", s.profile.user)
				file := s.guard(c.local("ro/file"))
				s.mkdir(c.local("own"))
				s.control("!link|"+file+"|"+s.path("control"), "!write|"+s.path("control"))
				config := driver.TaskConfig{Policy: s.policy([]string{"local"}, []string{"local/ro"})}
				for range 2 {
					c.probe(config, "link|"+c.real("local/ro/file")+"|"+c.real("local/copy"), "!write|"+c.real("local/copy"), "rename|"+c.real("local/ro/file")+"|"+c.real("local/moved"),
						"!write|"+c.real("local/moved"), "!unlink|"+c.real("local/ro/file"), "+create|"+c.real("local/own/new-"+fmt.Sprint(s.tick()))).mustStart()
				}
			},
		},
		{
			name: "next_setuid", about: "Leaves a setuid program, which a task of another user of the allocation runs.", once: true,
			play: func(s *scene) {
				c := s.company("attack", taskUser)
				other := c.sibling("other", "daemon")
				c.probe(driver.TaskConfig{}, "+setuid|"+c.real("alloc/data/program")).mustStart()
				s.control("sleep|0s")
				other.probe(driver.TaskConfig{}, fmt.Sprintf("!euid|%d|%s", taskUID, other.real("alloc/data/program")), "+euid|1|"+other.real("alloc/data/program")).mustStart()
			},
		},
		{
			name: "next_link_of_root_moved", about: "Renames a symbolic link of root's, which lies in a workspace root, to the name of another root, for its next start.", unprivileged: true,
			play: func(s *scene) {
				outside := s.guard(s.path("outside/secret"))
				c := s.company("attack", s.profile.user)
				srv := s.mkdir("srv")
				s.mkdir("srv/out")
				s.link(filepath.Dir(outside), srv+"/release")
				s.control("!steal|"+filepath.Dir(outside), "!write|"+outside)
				config := driver.TaskConfig{Policy: s.policy([]string{srv, srv + "/out"}, nil)}
				c.probe(config, "!steal|"+srv+"/release", "+rename|"+srv+"/out|"+srv+"/old", "+rename|"+srv+"/release|"+srv+"/out").mustStart()
				c.probe(config, "!steal|"+filepath.Dir(outside), "!write|"+outside).mustBeRefused("workspace_roots", srv+"/out")
			},
		},
		{
			name: "next_link_of_root_made", about: "A task of root makes a symbolic link in a workspace root, by the name of another root, for its next start.", root: true,
			play: func(s *scene) {
				outside := s.guard(s.path("outside/secret"))
				c := s.company("attack", s.profile.user)
				srv := s.mkdir("srv")
				for _, dir := range []string{srv, s.mkdir("srv/out")} {
					s.check(os.Chown(dir, 0, 0))
					s.check(os.Chmod(dir, 0o755))
				}
				s.control("!steal|"+filepath.Dir(outside), "!write|"+outside)
				config := driver.TaskConfig{Policy: s.policy([]string{srv, srv + "/out"}, nil)}
				c.probe(config, "+rename|"+srv+"/out|"+srv+"/old", "+symlink|"+filepath.Dir(outside)+"|"+srv+"/out").mustStart()
				c.probe(config, "!steal|"+filepath.Dir(outside), "!write|"+outside).mustBeRefused("capability_policy", srv+"/out")
			},
		},
		{
			name: "next_link_of_other_user", about: "A task of another user makes a root of this task in alloc/ a link to the secrets of this task, and of a third.", once: true,
			play: func(s *scene) {
				c := s.company("attack", taskUser)
				other := c.sibling("other", "daemon")
				third := c.sibling("third", "bin")
				s.mkdir(c.shared("data/x"))
				s.plant(third.taskDir.SecretsDir + "/secret")
				s.plant(third.local("secret"))
				s.control("!steal|" + third.taskDir.LocalDir)
				for _, destination := range []string{third.real("local"), third.real("secrets"), third.taskDir.LocalDir, "../../../" + filepath.Base(third.seen) + "/local"} {
					other.probe(driver.TaskConfig{}, "rename|"+other.real("alloc/data/x")+"|"+other.real("alloc/data/x-"+fmt.Sprint(s.tick())), "+symlink|"+destination+"|"+other.real("alloc/data/x")).mustStart()
					config := driver.TaskConfig{Policy: s.policy([]string{"alloc/data/x", "local"}, nil)}
					c.probe(config, "!steal|"+c.real("alloc/data/x"), "!steal|"+third.real("local"), "!steal|"+third.real("secrets")).mustBeRefused("workspace_roots", "alloc/data/x")
				}
			},
		},
		{
			name: "next_command", about: "Replaces its own program by a link to one outside, a FIFO and a directory.", unprivileged: true, network: true,
			play: func(s *scene) {
				c := s.company("attack", s.profile.user)
				program := s.path("outside/program")
				s.mkdir("outside")
				s.check(os.WriteFile(program, []byte("#!/bin/sh\ncp /proc/self/cmdline "+c.real("local/ran")+"\n"), 0o755))
				for _, operation := range []string{"symlink|" + program + "|PLACE", "mkfifo|PLACE", "mkdir|PLACE", "listen|PLACE", "symlink|prog|PLACE"} {
					place := c.real("local/prog")
					c.probe(driver.TaskConfig{}, "rename|"+place+"|"+place+fmt.Sprint(s.tick()), "+"+replaced(operation, "PLACE", place)).mustStart()
					p := c.begin(driver.TaskConfig{Command: "local/prog", Args: []string{"x"}, Policy: s.policy(nil, nil)})
					p.mustBeRefused("command", "local/prog")
				}
				if _, err := os.Stat(c.local("ran")); err == nil {
					s.escape("the program outside was run")
				}
			},
		},
	}
}

// tick is a number that no other operation of the scene has.
func (s *scene) tick() int {
	s.count++
	return s.count
}

func firstThat(paths ...string) string {
	for _, path := range paths {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return paths[0]
}

// nextArtifacts are directories as a hostile artifact leaves them: its files
// belong to root, whom links are trusted of.
func nextArtifacts() (stories []story) {
	type way struct {
		name   string
		field  string
		config func(s *scene, config *driver.TaskConfig)
	}
	ways := []way{
		{"workspace_root", "workspace_roots", func(s *scene, config *driver.TaskConfig) {
			config.Policy = s.policy([]string{"local/link"}, nil)
		}},
		{"read_only_root", "read_only_roots", func(s *scene, config *driver.TaskConfig) { config.Policy = s.policy(nil, []string{"local/link"}) }},
		{"deep_root", "read_only_roots", func(s *scene, config *driver.TaskConfig) {
			config.Policy = s.policy(nil, []string{"local/link/below"})
		}},
		{"work_dir", "work_dir", func(_ *scene, config *driver.TaskConfig) { config.WorkDir = "local/link" }},
		{"command", "command", func(s *scene, config *driver.TaskConfig) {
			config.Command, config.Args, config.Policy = "local/link/program", []string{"x"}, s.policy(nil, nil)
		}},
	}
	for _, way := range ways {
		stories = append(stories, story{
			name: "next_artifact_link_" + way.name, about: "An artifact has a link to the outside, which belongs to root, where the job has its " + way.name + ".", unprivileged: true,
			play: func(s *scene) {
				c := s.company("attack", s.profile.user)
				outside := s.mkdir("outside/below")
				s.guard(outside + "/secret")
				s.check(os.WriteFile(s.path("outside/program"), []byte("#!/bin/sh\ncp /proc/self/cmdline "+c.real("local/ran")+"\n"), 0o755))
				s.control("!steal|"+s.path("outside"), "!write|"+outside+"/secret")
				for _, target := range []string{s.path("outside"), "../../../../../../../../../.." + s.path("outside"), "/proc/1/root" + s.path("outside")} {
					_ = os.Remove(c.local("link"))
					s.link(target, c.local("link"))
					config := driver.TaskConfig{}
					way.config(s, &config)
					if config.Command != "" {
						c.begin(config).mustBeRefused(way.field, "local/link")
						continue
					}
					c.probe(config, "!steal|"+s.path("outside"), "!steal|.", "!steal|"+c.real("local/link"), "!write|"+outside+"/secret").mustBeRefused(way.field, "local/link")
				}
				if _, err := os.Stat(c.local("ran")); err == nil {
					s.escape("the program outside was run")
				}
			},
		})
	}
	return append(stories,
		story{
			name: "next_artifact_devices", about: "An artifact, or a root of the host, has device nodes.",
			play: func(s *scene) {
				c := s.company("attack", s.profile.user)
				s.mkdir("srv")
				for _, path := range []string{c.local("zero"), c.shared("data/zero"), s.path("srv/zero")} {
					s.check(unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))))
					s.check(os.Chmod(path, 0o666))
				}
				s.control("!device|" + c.local("zero"))
				c.probe(driver.TaskConfig{Policy: s.policy([]string{"local", "alloc/data", s.path("srv")}, nil)},
					"!device|"+c.real("local/zero"), "!device|"+c.real("alloc/data/zero"), "!device|"+s.path("srv/zero"), "+device|/dev/zero").mustStart()
			},
		},
		story{
			name: "next_artifact_fifos", about: "An artifact has FIFOs where the driver looks for files and directories: no start hangs.", once: true,
			play: func(s *scene) {
				for _, name := range []string{"local/fifo", "tmp/fifo", "alloc/fifo"} {
					c := s.company("attack", s.profile.user)
					s.mkdir(c.local("own"))
					s.check(unix.Mkfifo(filepath.Join(c.seen, name), 0o666))
					for _, config := range []driver.TaskConfig{
						{Policy: s.policy([]string{name, "local"}, nil)},
						{Policy: s.policy(nil, []string{name})},
						{Policy: s.policy(nil, []string{name + "/below"})},
						{WorkDir: name},
						{Command: name, Policy: s.policy(nil, nil)},
					} {
						p := c.begin(config, "+stat|"+c.real(name), "+create|"+c.real("local/own/new-"+fmt.Sprint(s.tick())))
						if config.Command == "" {
							p.finish()
						}
						s.printableRefusal(p)
					}
				}
			},
		},
		story{
			name: "next_artifact_script", about: "An artifact has scripts and programs whose interpreter is a FIFO, a device, a socket: no start hangs.", once: true,
			play: func(s *scene) {
				c := s.company("attack", s.profile.user)
				fifo, socket := s.path("srv/fifo"), s.path("srv/socket")
				s.mkdir("srv")
				s.check(unix.Mkfifo(fifo, 0o666))
				s.check(os.Chmod(fifo, 0o666))
				l, err := net.Listen("unix", socket)
				s.check(err)
				s.defers(func() { l.Close() })
				for _, interpreter := range []string{fifo, socket, "/dev/zero", c.local("fifo"), c.local("script"), "/usr/bin/env " + fifo} {
					s.check(os.WriteFile(c.local("script"), []byte("#!"+interpreter+"\n"), 0o755))
					s.printableRefusal(c.begin(driver.TaskConfig{Command: "local/script", Policy: s.policy(nil, nil)}))
				}
				s.held("refused")
			},
		},
		story{
			name: "next_artifact_deep", about: "An artifact has directories within directories, and links of links, beyond the kernel's limits: no start hangs or fails without a word.", once: true,
			play: func(s *scene) {
				c := s.company("attack", s.profile.user)
				for i := range 100 {
					s.link(fmt.Sprintf("link-%d", i+1), c.local(fmt.Sprintf("link-%d", i)))
				}
				s.link("loop", c.local("loop"))
				for _, name := range []string{"local/link-0", "local/loop", "local/" + strings.Repeat("x/", 3000) + "x", "local/" + strings.Repeat("y", 300)} {
					c.probe(driver.TaskConfig{Policy: s.policy([]string{name}, nil)}, "+stat|/etc").mustBeRefused("workspace_roots")
				}
				c.probe(driver.TaskConfig{}, "+stat|/etc").mustStart()
			},
		},
		story{
			name: "next_artifact_tmp_link", about: "An artifact has made the tmp directory of the task a link of root's to the outside.", unprivileged: true,
			play: func(s *scene) {
				c := s.company("attack", s.profile.user)
				outside := s.guard(s.path("outside/secret"))
				s.check(os.RemoveAll(filepath.Join(c.taskDir.Dir, "tmp")))
				s.link(filepath.Dir(outside), filepath.Join(c.taskDir.Dir, "tmp"))
				s.control("!steal|" + filepath.Dir(outside))
				p := c.probe(driver.TaskConfig{}, "!steal|/tmp", "!write|/tmp/secret")
				s.printableRefusal(p)
			},
		},
		story{
			name: "next_artifact_setuid_root", about: "An artifact has a program that is setuid root.", unprivileged: true,
			play: func(s *scene) {
				c := s.company("attack", s.profile.user)
				data, err := os.ReadFile(s.suite)
				s.check(err)
				s.check(os.WriteFile(c.local("program"), data, 0o755))
				s.check(os.Chmod(c.local("program"), 0o755|os.ModeSetuid))
				s.control("!euid|0|" + c.local("program"))
				c.probe(driver.TaskConfig{}, "!euid|0|"+c.real("local/program"), fmt.Sprintf("+euid|%d|%s", taskUID, c.real("local/program"))).mustStart()
			},
		},
	)
}

// nextLogs plant links where Nomad's logmon, which is root, makes its files.
func nextLogs() (stories []story) {
	for name, roots := range map[string][2][]string{
		"workspace_root": {{"alloc/logs", "local"}, nil},
		"default":        {nil, nil},
		"alloc_root":     {{"alloc", "local"}, nil},
		"alloc_dotdot":   {{"local/../alloc", "local"}, nil},
		"read_only":      {{"alloc", "local"}, {"alloc/logs"}},
	} {
		stories = append(stories, story{
			name: "next_log_rotation_" + name, about: "Plants a link to a file of root's where Nomad's logmon will go on when the log is full (" + name + ").",
			unprivileged: true,
			play: func(s *scene) {
				victim := s.guard(s.path("victim"))
				s.check(os.Chown(victim, 0, 0))
				s.check(os.Chmod(victim, 0o600))
				c := s.company("attack", s.profile.user)
				fifo := filepath.Join(c.taskDir.LogDir, ".attack.stdout.fifo")
				monitor := logmon.NewLogMon(hclog.NewNullLogger())
				s.check(monitor.Start(&logmon.LogConfig{
					LogDir: c.taskDir.LogDir, StdoutLogFile: "attack.stdout", StderrLogFile: "attack.stderr",
					StdoutFifo: fifo, StderrFifo: filepath.Join(c.taskDir.LogDir, ".attack.stderr.fifo"), MaxFiles: 3, MaxFileSizeMB: 1,
				}))
				s.defers(func() { _ = monitor.Stop() })
				cfg, file := c.asked(driver.TaskConfig{Policy: s.policy(roots[0], roots[1])},
					"!symlink|"+victim+"|"+c.real("alloc/logs/attack.stdout.1"), "!symlink|"+victim+"|"+c.real("alloc/logs/attack.stdout.2"),
					"!rename|"+c.real("alloc/logs")+"|"+c.real("alloc/logs-2"), "flood|2", "sleep|50ms")
				cfg.StdoutPath, cfg.StderrPath = fifo, filepath.Join(c.taskDir.LogDir, ".attack.stderr.fifo")
				s.beginTask(cfg, file).finish().mayBeRefused("workspace_roots", "alloc/logs")
				_ = s.DestroyTask(cfg.ID, true)
			},
		})
	}
	return append(stories, story{
		name: "next_log_fifo", about: "Replaces the FIFO of its log by a link, for the plugin to open at its next start.", unprivileged: true,
		play: func(s *scene) {
			victim := s.guard(s.path("victim"))
			c := s.company("attack", s.profile.user)
			fifo := filepath.Join(c.taskDir.LogDir, ".attack.stdout.fifo")
			s.check(unix.Mkfifo(fifo, 0o600))
			list := []string{}
			for _, name := range []string{c.real("alloc/logs"), c.taskDir.LogDir} {
				list = append(list, "!unlink|"+name+"/.attack.stdout.fifo", "!symlink|"+victim+"|"+name+"/.attack.stdout.fifo-2", "!rename|"+name+"/.attack.stdout.fifo|"+name+"/x")
			}
			c.probe(driver.TaskConfig{}, list...).mustStart()
			// As if it had: the plugin opens no link.
			s.check(os.Remove(fifo))
			s.link(victim, fifo)
			cfg, file := c.asked(driver.TaskConfig{}, "flood|1")
			cfg.StdoutPath = fifo
			p := s.beginTask(cfg, file).finish()
			s.printableRefusal(p)
		},
	})
}
