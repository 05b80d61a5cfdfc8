// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package attack

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/driver"
)

// change is what the host does to its files while a task runs, or between two
// starts of it.
type change struct {
	name, about string
	do          func(s *scene, path string)
}

// onFile are what becomes of a file: none of them is an attack, but what
// follows from names being replaced must open nothing to a task.
var onFile = []change{
	{"renamed_over", "renames a new file over it, as mv, sed -i and templates do", func(s *scene, path string) { s.replace(path) }},
	{"recreated", "removes it and makes it anew", func(s *scene, path string) {
		s.check(os.Remove(path))
		s.put(path)
	}},
	{"rewritten", "writes it anew in its place", func(s *scene, path string) { s.put(path) }},
	{"parent_moved", "renames its directory", func(s *scene, path string) {
		s.check(os.Rename(filepath.Dir(path), filepath.Dir(path)+"-moved"))
	}},
	{"parent_replaced", "renames its directory, and puts a copy in its place", func(s *scene, path string) {
		s.check(os.Rename(filepath.Dir(path), filepath.Dir(path)+"-moved"))
		s.plant(path)
	}},
	{"parent_exchanged", "exchanges its directory for a new one, as deployments do", func(s *scene, path string) {
		parent := filepath.Dir(path)
		s.plant(filepath.Join(parent+"-moved", filepath.Base(path)))
		s.check(unix.Renameat2(unix.AT_FDCWD, parent, unix.AT_FDCWD, parent+"-moved", unix.RENAME_EXCHANGE))
	}},
	{"parent_recreated", "removes its directory, and makes it anew", func(s *scene, path string) {
		s.check(os.RemoveAll(filepath.Dir(path)))
		s.plant(path)
	}},
	{"linked", "replaces it by a link of root's to a copy beside it", func(s *scene, path string) {
		s.check(os.Rename(path, path+"-moved"))
		s.link(filepath.Base(path)+"-moved", path)
	}},
	{"mounted_over", "mounts another file over it", func(s *scene, path string) {
		s.put(path + "-other")
		s.check(unix.Mount(path+"-other", path, "", unix.MS_BIND, ""))
		s.defers(func() { _ = unix.Unmount(path, unix.MNT_DETACH) })
	}},
}

// hostStories are changes of the host's files under running tasks.
func hostStories() (stories []story) {
	for _, change := range onFile {
		stories = append(stories, maskedUnder(change, false), maskedUnder(change, true), readOnlyUnder(change, false), readOnlyUnder(change, true))
	}
	for name, path := range map[string]string{"shadow": "/etc/shadow", "ssl_private": "/etc/ssl/private/secret", "nomad_config": "/etc/nomad.d/secret"} {
		for _, change := range onFile {
			if change.name == "parent_moved" || name == "shadow" && change.name != "renamed_over" && change.name != "recreated" {
				continue
			}
			stories = append(stories, story{
				name: "host_" + name + "_" + change.name, about: "The host " + change.about + ": " + path + ", which is masked in every task.", unprivileged: true, once: name != "shadow",
				play: func(s *scene) {
					c := s.resident()
					moved := filepath.Dir(path) + "-moved"
					s.defers(func() {
						_ = unix.Unmount(path, unix.MNT_DETACH)
						if path != "/etc/shadow" {
							_, _ = os.RemoveAll(moved), os.RemoveAll(filepath.Dir(path))
						}
						s.plantIn(path)
					})
					s.control("!read|" + path)
					list := []string{"!read|" + path, "!write|" + path}
					s.during(c, driver.TaskConfig{}, func() { change.do(s, path) }, list, "+stat|/etc/passwd")
					c.probe(driver.TaskConfig{}, list...).mustStart()
				},
			})
		}
	}
	return append(append(stories, laterStories()...), maskNames()...)
}

// plantIn is plant, for a directory of the system.
func (s *scene) plantIn(path string) {
	if filepath.Dir(path) == "/etc" {
		s.put(path)
		return
	}
	s.plant(path)
}

// during starts a task, has the host change something once it runs, and has the
// task try the operations, before, after, and after its restart.
func (s *scene) during(c *company, config driver.TaskConfig, change func(), operations []string, siblings ...string) {
	all := append(append(append([]string{}, operations...), "wait|"+c.real("local/go-"+filepath.Base(s.dir))), operations...)
	p := c.begin(config, append(all, siblings...)...).mustStart()
	p.until(len(operations))
	change()
	s.put(c.local("go-" + filepath.Base(s.dir)))
	p.finish()
}

// maskedUnder changes a masked file, or one in a masked directory.
func maskedUnder(change change, dir bool) story {
	name, what := "host_masked_file_", "a masked file"
	if dir {
		name, what = "host_masked_dir_", "a file in a masked directory"
	}
	return story{
		name: name + change.name, about: "The host " + change.about + ": " + what + ", while a task runs that has a root above, and before it starts again.",
		unprivileged: true, once: dir,
		play: func(s *scene) {
			file := s.plant(s.path("srv/sub/secret"))
			s.plant(s.path("srv/file"))
			mask := file
			if dir {
				mask = filepath.Dir(file)
			}
			s.configure(func(c *driver.Config) { c.MaskedPaths = []string{mask} })
			s.control("!read|" + file)
			c := s.company("attack", s.profile.user)
			config := driver.TaskConfig{Policy: s.policy([]string{s.path("srv")}, nil)}
			list := []string{"!read|" + file, "!write|" + file, "!steal|" + filepath.Dir(file)}
			if !dir {
				list = list[:2]
			}
			switch change.name { // elsewhere it is another file, which nobody has masked
			case "parent_moved", "parent_replaced", "linked", "mounted_over", "parent_exchanged":
				list = append(list[:1:1], "!write|"+file)
			}
			s.during(c, config, func() { change.do(s, file) }, list, "+append|"+s.path("srv/file"))
			c.probe(config, append(list, "+read|"+s.path("srv/file"))...).mayBeRefused("masked_paths", mask)
		},
	}
}

// readOnlyUnder changes a file that is a read-only root, or lies in one, in a
// writable root.
func readOnlyUnder(change change, dir bool) story {
	name, what := "host_read_only_file_", "a file that is a read-only root"
	if dir {
		name, what = "host_read_only_dir_", "a file in a read-only root"
	}
	return story{
		name: name + change.name, about: "The host " + change.about + ": " + what + " in a writable root, while the task runs, and before it starts again.",
		unprivileged: true, once: dir,
		play: func(s *scene) {
			c := s.company("attack", s.profile.user)
			file := s.plant(c.local("sub/conf"))
			root := "local/sub/conf"
			if dir {
				root = "local/sub"
			}
			s.control("!write|" + file)
			s.put(file)
			config := driver.TaskConfig{Policy: s.policy([]string{"local"}, []string{root})}
			place := c.real("local/sub/conf")
			list := []string{"!write|" + place, "!truncate|" + place}
			if dir {
				list = append(list, "!create|"+c.real("local/sub/new"), "!unlink|"+place)
			}
			// Directly beside a read-only root nothing new can be made.
			s.mkdir(c.local("own"))
			siblings := []string{"+create|" + c.real("local/own/mine")}
			if change.name == "rewritten" || change.name == "renamed_over" {
				siblings = append(siblings, "stat|"+place)
			}
			s.during(c, config, func() { change.do(s, file) }, list, siblings...)
			c.probe(config, append(list, "+append|"+c.real("local/own/mine"))...).mayBeRefused("read_only_roots", root)
		},
	}
}

// laterStories are places that come to be while a task runs.
func laterStories() []story {
	return []story{
		{
			name: "host_mask_appears", about: "A masked path comes to be in a root while the task runs.", unprivileged: true,
			play: func(s *scene) {
				s.plant(s.path("srv/file"))
				masks := []string{s.path("srv/later"), s.path("srv/dir/later"), s.path("srv/latedir")}
				s.mkdir("srv/dir")
				s.configure(func(c *driver.Config) { c.MaskedPaths = masks })
				c := s.company("attack", s.profile.user)
				var list []string
				for _, path := range []string{masks[0], masks[1], masks[2] + "/below"} {
					list = append(list, "!read|"+path)
				}
				s.during(c, driver.TaskConfig{Policy: s.policy(nil, []string{s.path("srv")})}, func() {
					for _, path := range []string{masks[0], masks[1], masks[2] + "/below"} {
						s.plant(path)
					}
					s.control(list...)
				}, list, "+read|"+s.path("srv/file"))
			},
		},
		{
			name: "host_builtin_mask_appears", about: "/etc/nomad and /etc/gshadow- come to be while the task runs.", unprivileged: true,
			play: func(s *scene) {
				saved, err := os.ReadFile("/etc/gshadow-")
				_ = os.Remove("/etc/gshadow-")
				s.defers(func() {
					_ = os.RemoveAll("/etc/nomad")
					_ = os.Remove("/etc/gshadow-")
					if err == nil {
						_ = os.WriteFile("/etc/gshadow-", saved, 0o640)
					}
				})
				c := s.resident()
				list := []string{"!read|/etc/gshadow-", "!steal|/etc/nomad"}
				s.during(c, driver.TaskConfig{}, func() {
					s.put("/etc/gshadow-")
					s.plant("/etc/nomad/secret")
					s.control(list...)
				}, list, "+stat|/etc/passwd")
			},
		},
		{
			name: "host_allocation_appears", about: "Another allocation starts after a task that has a root above all allocations.", unprivileged: true,
			play: func(s *scene) {
				c := s.company("attack", s.profile.user)
				var file, seen string
				s.during(c, driver.TaskConfig{Policy: s.policy([]string{s.root}, nil)}, func() {
					other := s.company("later", taskUser)
					file, seen = s.plant(other.local("secret")), other.real("local/secret")
					s.control("!read|"+file, "!read|"+seen)
				}, []string{"!steal|" + s.alloc, "!list|" + s.alloc}, "+read|"+s.root+"/beside")
			},
		},
		{
			name: "host_engine_socket_appears", about: "A container engine starts again while a task runs that has a root above its socket.", unprivileged: true, network: true,
			play: func(s *scene) {
				c := s.company("attack", s.profile.user)
				list := []string{"!connect|/run/docker.sock", "!connect|/run/podman/podman.sock"}
				s.check(os.MkdirAll("/run/podman", 0o755))
				s.defers(func() { _ = os.RemoveAll("/run/podman") })
				s.during(c, driver.TaskConfig{Policy: s.policy([]string{"/run"}, nil)}, func() {
					_ = os.Remove("/run/docker.sock")
					serve(s.t, "unix", "/run/docker.sock")
					serve(s.t, "unix", "/run/podman/podman.sock")
					s.control(list...)
				}, list, "+connect|/run/ordinary.sock")
				_ = os.Remove("/run/docker.sock")
				s.defers(func() { _ = os.Remove("/run/docker.sock") })
			},
		},
		{
			name: "host_procfs_appears", about: "Between two starts the host mounts a procfs in a root.", unprivileged: true,
			play: func(s *scene) {
				c := s.company("attack", s.profile.user)
				s.plant(s.path("srv/file"))
				config := driver.TaskConfig{Policy: s.policy([]string{s.path("srv")}, nil)}
				c.probe(config, "+read|"+s.path("srv/file")).mustStart()
				path := s.mount("srv/deep/proc", "proc", "proc", 0)
				s.control("!peek|" + path + "/1/cmdline")
				c.probe(config, "!peek|"+path+"/1/cmdline", "!peek|"+path+"/self/cmdline", "+read|"+s.path("srv/file")).mayBeRefused("workspace_roots", path)
			},
		},
		{
			name: "host_root_becomes_link", about: "Between two starts the host replaces a root by a link of root's to a masked directory, another allocation, and a log directory.", unprivileged: true,
			play: func(s *scene) {
				c := s.company("attack", s.profile.user)
				s.mkdir("srv/root")
				config := func() driver.TaskConfig {
					return driver.TaskConfig{Policy: s.policy([]string{s.path("srv/root")}, nil)}
				}
				c.probe(config(), "+create|"+s.path("srv/root/mine")).mustStart()
				for _, target := range []string{"/etc/nomad.d", s.victim.seen, s.victim.dir.AllocDir, s.data + "/client"} {
					s.check(os.RemoveAll(s.path("srv/root")))
					s.link(target, s.path("srv/root"))
					s.control("!steal|" + s.path("srv/root/"))
					c.probe(config(), "!steal|"+s.path("srv/root/"), "!steal|"+target).mustBeRefused("workspace_roots", target, s.path("srv/root"))
				}
			},
		},
	}
}

// maskNames are masked paths that are no plain names of what they mask.
func maskNames() (stories []story) {
	for name, mask := range map[string]func(s *scene) string{
		"link": func(s *scene) string { return s.link(s.path("srv/real/secret"), s.path("mask")) },
		"link_in_root": func(s *scene) string {
			return s.link("real/secret", s.path("srv/mask"))
		},
		"below_link": func(s *scene) string { return s.link(s.path("srv/real"), s.path("maskdir")) + "/secret" },
		"dir_link":   func(s *scene) string { return s.link(s.path("srv/real"), s.path("maskdir")) },
		"two_links": func(s *scene) string {
			s.link(s.path("srv"), s.path("one"))
			return s.link("one/real", s.path("two")) + "/secret"
		},
		"bind_mounted": func(s *scene) string {
			s.plant(s.path("srv/real/secret"))
			s.mount("other", s.path("srv/real"), "", unix.MS_BIND)
			return s.path("srv/real/secret")
		},
	} {
		stories = append(stories, story{
			name: "host_mask_named_by_" + name, about: "masked_paths names what it masks by another path (" + name + "): both are closed, and other tasks start.", unprivileged: true, once: name != "link",
			play: func(s *scene) {
				secret := s.plant(s.path("srv/real/secret"))
				s.plant(s.path("srv/file"))
				path := mask(s)
				s.configure(func(c *driver.Config) { c.MaskedPaths = []string{path} })
				c := s.company("attack", s.profile.user)
				s.control("!read|"+secret, "!read|"+secret)
				list := []string{"!read|" + secret, "!read|" + path, "!steal|" + s.path("srv/real"), "!write|" + secret, "+read|" + s.path("srv/file")}
				c.probe(driver.TaskConfig{Policy: s.policy([]string{s.path("srv")}, nil)}, list...).mustStart()
				if name == "bind_mounted" {
					c.probe(driver.TaskConfig{Policy: s.policy(nil, []string{s.dir})}, "!read|"+s.path("other/secret"), "!read|"+secret).mustStart()
				}
				s.resident().probe(driver.TaskConfig{}, "+stat|/etc/passwd").mustStart()
			},
		})
	}
	return append(stories, story{
		name: "host_builtin_mask_is_link", about: "/etc/nomad.d and /etc/ssl are links of root's on this host: tasks start, and what they lead to is closed.", unprivileged: true,
		play: func(s *scene) {
			s.plant(s.path("srv/config/secret"))
			s.plant(s.path("srv/ssl/private/secret"))
			s.plant(s.path("srv/file"))
			for from, to := range map[string]string{"/etc/nomad.d": s.path("srv/config"), "/etc/ssl": s.path("srv/ssl")} {
				s.check(os.Rename(from, from+"-saved"))
				s.link(to, from)
				s.defers(func() {
					_ = os.Remove(from)
					_ = os.Rename(from+"-saved", from)
				})
			}
			s.control("!steal|/etc/nomad.d/", "!steal|/etc/ssl/private/")
			c := s.company("attack", s.profile.user)
			c.probe(driver.TaskConfig{Policy: s.policy(nil, []string{s.path("srv")})}, "!steal|/etc/nomad.d/", "!steal|/etc/ssl/private/",
				"!steal|"+s.path("srv/config"), "!steal|"+s.path("srv/ssl/private"), "+read|"+s.path("srv/file")).mustStart()
		},
	})
}
