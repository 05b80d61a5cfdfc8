// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package attack

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/driver"
)

// markStories are about what a policy itself closes (read_deny_roots), keeps as it is (protect) or
// has of credentials in a home: changed by the host, and by the task for its next start.
func markStories() (stories []story) {
	for _, change := range onFile {
		stories = append(stories, deniedUnder(change), protectedUnder(change))
	}
	return append(stories, nextMarks()...)
}

func (s *scene) denying(roots, deny []string) driver.TaskConfig {
	p := s.policy(roots, nil)
	p.ReadDenyRoots = deny
	return driver.TaskConfig{Policy: p}
}

func (s *scene) protecting(roots, protect []string) driver.TaskConfig {
	p := s.policy(roots, nil)
	p.Protect = protect
	return driver.TaskConfig{Policy: p}
}

func deniedUnder(change change) story {
	return story{
		name: "host_denied_file_" + change.name, about: "The host " + change.about + ": a file of read_deny_roots, while the task runs, and before it starts again.",
		unprivileged: true,
		play: func(s *scene) {
			file := s.plant(s.path("srv/sub/secret"))
			s.plant(s.path("srv/file"))
			s.control("!read|" + file)
			c := s.company("attack", s.profile.user)
			config := s.denying([]string{s.path("srv")}, []string{file})
			list := []string{"!read|" + file, "!write|" + file}
			s.during(c, config, func() { change.do(s, file) }, list, "+append|"+s.path("srv/file"))
			c.probe(config, append(list, "+read|"+s.path("srv/file"))...).mayBeRefused("read_deny_roots", file)
		},
	}
}

func protectedUnder(change change) story {
	return story{
		name: "host_protected_file_" + change.name, about: "The host " + change.about + ": a file that protect names, while the task runs, and before it starts again.",
		unprivileged: true,
		play: func(s *scene) {
			c := s.company("attack", s.profile.user)
			file := s.plant(c.local("sub/conf"))
			s.mkdir(c.local("own"))
			s.control("!write|" + file)
			s.put(file)
			config := s.protecting([]string{"local"}, []string{"sub/conf"})
			place := c.real("local/sub/conf")
			list := []string{"!write|" + place, "!truncate|" + place, "!unlink|" + place}
			s.during(c, config, func() { change.do(s, file) }, list, "+create|"+c.real("local/own/mine"))
			c.probe(config, append(list, "+append|"+c.real("local/own/mine"))...).mayBeRefused("protect", "sub/conf")
		},
	}
}

// btrfs mounts a file system of that kind in the scene's directory, if this host has it.
func (s *scene) btrfs(name string) {
	dir, image := s.mkdir(name), s.path(name+".img")
	for _, command := range [][]string{{"truncate", "-s", "256M", image}, {"mkfs.btrfs", "-q", image}, {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.CommandContext(s.ctx, command[0], command[1:]...).CombinedOutput(); err != nil {
			s.t.Logf("%s: %v: %s", command[0], err, out) // its control fails
			return
		}
	}
	s.defers(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	s.mkdir(name)
}

func exists(path string) bool { _, err := os.Lstat(path); return err == nil }

// nextMarks are what a task does to come by a marked place, now or after its next start.
func nextMarks() []story {
	return []story{
		{
			name: "next_denied_parent", about: "Renames the parent of a denied directory in a writable root, and reads it at once and after its next start.", unprivileged: true,
			play: func(s *scene) {
				secret := s.plant(s.path("srv/sub/deny/secret"))
				s.plant(s.path("srv/file"))
				c := s.company("attack", s.profile.user)
				config := s.denying([]string{s.path("srv")}, []string{s.path("srv/sub/deny")})
				s.control("!read|" + secret)
				c.probe(config, "!steal|"+s.path("srv/sub"), "rename|"+s.path("srv/sub")+"|"+s.path("srv/old"), "!steal|"+s.path("srv/old"), "mkdir|"+s.path("srv/sub"), "+read|"+s.path("srv/file")).mustStart()
				c.probe(config, "!steal|"+s.path("srv/old"), "!steal|"+s.path("srv/sub")).mayBeRefused("read_deny_roots", s.path("srv"))
			},
		},
		{
			name: "next_denied_link", about: "Makes hard links to a denied file, moves it, and puts a link to another denied one in its place.", unprivileged: true,
			play: func(s *scene) {
				s.plant(s.path("srv/file"))
				s.mkdir(s.path("srv/own"))
				secret, other := s.plant(s.path("srv/deny")), s.plant(s.path("srv/other/deny"))
				c := s.company("attack", s.profile.user)
				config := s.denying([]string{s.path("srv")}, []string{secret, other})
				s.control("!read|" + secret)
				c.probe(config, "link|"+secret+"|"+s.path("srv/own/copy"), "!read|"+s.path("srv/own/copy"), "rename|"+secret+"|"+s.path("srv/own/copy"), "!read|"+s.path("srv/own/copy"),
					"exchange|"+secret+"|"+s.path("srv/file"), "!read|"+secret, "symlink|"+other+"|"+s.path("srv/own/link"), "!read|"+s.path("srv/own/link"), "+create|"+s.path("srv/own/mine")).mustStart()
				c.probe(config, "!read|"+s.path("srv/own/copy"), "!read|"+s.path("srv/own/link"), "!read|"+secret).mayBeRefused("read_deny_roots", s.path("srv"))
			},
		},
		{
			name: "next_denied_appears", about: "A denied path that is not there yet comes to be in a root, made by the host, and by the task itself.", unprivileged: true,
			play: func(s *scene) {
				s.plant(s.path("srv/sub/file"))
				c := s.company("attack", s.profile.user)
				deny := s.path("srv/sub/later")
				config := s.denying([]string{s.path("srv"), "local"}, []string{deny, "local/never"})
				s.during(c, config, func() { s.put(deny) }, []string{"!read|" + deny, "!write|" + deny, "!create|" + c.real("local/never"), "!mkdir|" + c.real("local/never")}, "+append|"+s.path("srv/sub/file"))
			},
		},
		{
			name: "next_protected_replaced", about: "Replaces, moves and makes what protect names, and the directories above it, now and after its next start.", unprivileged: true,
			play: func(s *scene) {
				c := s.company("attack", s.profile.user)
				s.mkdir(c.local("repo"))
				s.mkdir(c.local("repo/.git"))
				file := s.plant(c.local("repo/.git/hooks/hook"))
				s.mkdir(c.local("repo/src"))
				s.mkdir(c.local("mine/hooks"))
				s.control("!write|" + file)
				s.put(file)
				config := s.protecting([]string{"local/repo", "local/mine"}, []string{".git/hooks", ".mcp.json"})
				repo := c.real("local/repo")
				attempts := strings.Fields(replaced("!write|R/.git/hooks/hook !create|R/.git/hooks/new !unlink|R/.git/hooks/hook rename|R/.git|R/src/git rename|R/.git/hooks|R/src/hooks "+
					"exchange|R/.git/hooks|R/src !create|R/.mcp.json link|R/.git/hooks/hook|R/src/hook !write|R/src/hook !write|R/src/hooks/hook !write|R/src/git/hooks/hook", "R", repo))
				c.probe(config, append(attempts, "+create|"+repo+"/src/mine")...).mustStart()
				c.probe(config, append(attempts, "+append|"+repo+"/src/mine")...).mustStart()
			},
		},
		{
			name: "next_protected_subvolume", about: "Makes what protect names as a subvolume of btrfs: an ioctl does, and no path check sees it.", unprivileged: true,
			play: func(s *scene) {
				c := s.company("attack", s.profile.user)
				s.btrfs("disk")
				s.mkdir("disk/other")
				for _, dir := range []string{".git", "src"} {
					s.mkdir("disk/repo/" + dir)
				}
				repo := s.path("disk/repo")
				hooks, own := repo+"/.git/hooks", repo+"/src/own"
				s.control("!subvolume|"+own, "!snapshot|"+own+"|"+s.path("disk/other/copy"))
				config := s.protecting([]string{repo}, []string{".git/hooks"})
				c.probe(config, "!subvolume|"+hooks, "!snapshot|"+own+"|"+hooks, "!snapshot|"+own+"|"+repo+"/src/copy", "+create|"+own+"/mine").mustStart()
				if exists(hooks) {
					s.escape("%s was made", hooks)
				}
			},
		},
		{
			name: "next_protected_link", about: "Puts a link in the place of the parent of what protect names, while protect is not there yet, for a start with it.", unprivileged: true,
			play: func(s *scene) {
				c := s.company("attack", s.profile.user)
				s.mkdir(c.local("repo"))
				s.plant(c.local("repo/elsewhere/hook"))
				s.mkdir(c.local("repo/src"))
				repo := c.real("local/repo")
				c.probe(driver.TaskConfig{Policy: s.policy([]string{"local/repo"}, nil)}, "+symlink|"+repo+"/elsewhere|"+repo+"/hooks").mustStart()
				config := s.protecting([]string{"local/repo"}, []string{"hooks"})
				c.probe(config, "!write|"+repo+"/hooks/hook", "!write|"+repo+"/elsewhere/hook", "!create|"+repo+"/hooks/new", "!unlink|"+repo+"/hooks", "+create|"+repo+"/src/mine").mayBeRefused("protect", "hooks")
			},
		},
		{
			name: "author_credentials_in_home", about: "Names a home and what lies in it as roots, and goes for credentials there.", unprivileged: true,
			play: func(s *scene) {
				home, err := os.MkdirTemp("/home", "harn-attack-")
				if err != nil {
					s.unproved = "there is no /home to make one in"
					return
				}
				s.defers(func() { os.RemoveAll(home) })
				s.check(os.Chmod(home, 0o777))
				key := s.plant(filepath.Join(home, ".ssh", "id"))
				s.plant(filepath.Join(home, "src", "file"))
				s.control("!read|" + key)
				c := s.company("attack", s.profile.user)
				c.probe(driver.TaskConfig{Policy: s.policy([]string{home}, nil)}, "!read|"+key, "!write|"+key, "!mkdir|"+filepath.Join(home, ".aws"), "+read|"+filepath.Join(home, "src", "file")).mustStart()
				for _, root := range []string{key, filepath.Dir(key)} {
					c.probe(driver.TaskConfig{Policy: s.policy(nil, []string{root})}, "!read|"+key).mustBeRefused("read_only_roots", root)
				}
			},
		},
	}
}
