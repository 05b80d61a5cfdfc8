// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package attack

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/nomad/plugins/drivers"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/driver"
)

// protected is a place of the host that no field of a job opens to a task.
type protected struct {
	name, about string
	// set makes it in a scene, if it must be made, and returns its real path.
	set func(s *scene, c *company) string
	// file is what lies in it, "" if the place is no directory.
	file string
	// above is a directory that holds it, and may be a root.
	above func(s *scene, c *company) string
	// reach are the operations which nobody must get through with, on PLACE and
	// FILE; nil for stealing a secret, and writing.
	reach []string
	// readable: a task may read it.
	readable bool
	// socket: it is one, and so a matter of a task with network.
	socket bool
	// rootOnly: permissions keep it from other users.
	rootOnly bool
	// host is where the control finds it, if it is not there for the host.
	host func(c *company) string
}

func nodeRoot(s *scene, _ *company) string { return s.root }

// at is a place in the client's directories.
func at(path func(s *scene) string) func(*scene, *company) string {
	return func(s *scene, _ *company) string { return path(s) }
}

// protectedPlaces are all kinds of them.
var protectedPlaces = []protected{
	{
		name: "logs", about: "the allocation's log directory, where Nomad's logmon writes as root by name", file: "attack.stdout.0", readable: true,
		set: func(s *scene, c *company) string {
			s.put(c.shared("logs/attack.stdout.0"))
			return c.real("alloc/logs")
		},
		above: func(_ *scene, c *company) string { return c.real("alloc") },
		reach: []string{"!write|FILE", "!create|PLACE/attack.stdout.1", "!symlink|/etc/passwd|PLACE/attack.stdout.2", "!rename|FILE|PLACE/moved", "!unlink|FILE", "!rename|PLACE|PLACE-2"},
		host:  func(c *company) string { return c.shared("logs") },
	},
	{
		name: "log_file", about: "a file of the allocation's log directory", readable: true,
		set: func(s *scene, c *company) string {
			s.put(c.shared("logs/attack.stdout.0"))
			return c.real("alloc/logs/attack.stdout.0")
		},
		reach: []string{"!write|PLACE", "!truncate|PLACE"},
		host:  func(c *company) string { return c.shared("logs/attack.stdout.0") },
	},
	{
		name: "logs_by_alloc_dir", about: "the allocation's log directory, by its path in the client's alloc_dir", file: "attack.stdout.0",
		set: func(s *scene, c *company) string {
			s.put(c.shared("logs/attack.stdout.0"))
			return c.shared("logs")
		},
		reach: []string{"!write|FILE", "!create|PLACE/attack.stdout.1"},
	},
	{
		name: "state_dir", about: "the driver's state_dir, whose records a root of a task could forge", file: "planted", rootOnly: true,
		set:   func(s *scene, _ *company) string { s.put(s.state + "/planted"); return s.state },
		above: func(s *scene, _ *company) string { return filepath.Dir(s.state) },
		reach: []string{"!steal|PLACE", "!create|PLACE/forged", "!list|PLACE"},
	},
	{name: "data_dir", about: "Nomad's data_dir", file: "client/secret", set: at(func(s *scene) string { return s.data }), above: nodeRoot},
	{name: "client_state", about: "the client's own directory in the data_dir", file: "secret", set: at(func(s *scene) string { return s.data + "/client" }), above: nodeRoot},
	{name: "server_state", about: "the server's own directory in the data_dir", file: "secret", set: at(func(s *scene) string { return s.data + "/server" }), above: nodeRoot},
	{
		name: "alloc_dir", about: "the client's alloc_dir, with all allocations", set: at(func(s *scene) string { return s.alloc }), above: nodeRoot,
		file: "VICTIM/v/secrets/secret",
	},
	{
		name: "alloc_mounts_dir", about: "the client's alloc_mounts_dir, with the directories of all tasks", set: at(func(s *scene) string { return s.mounts }), above: nodeRoot,
		file: "VICTIM-v/secrets/secret",
	},
	{name: "other_alloc", about: "another allocation, by the alloc_dir", file: "v/local/secret", set: at(func(s *scene) string { return s.victim.dir.AllocDir })},
	{name: "other_task", about: "another task's directory, by the alloc_mounts_dir", file: "local/secret", set: at(func(s *scene) string { return s.victim.seen })},
	{name: "other_secrets", about: "another task's secrets, by the alloc_mounts_dir", file: "secret", set: at(func(s *scene) string { return s.victim.seen + "/secrets" })},
	{name: "other_secret", about: "a file of another task's secrets, by the alloc_dir", set: at(func(s *scene) string { return s.victim.taskDir.SecretsDir + "/secret" })},
	{
		name: "plugin_dir", about: "the directory of the plugin's binary, which the agent runs as root", file: "planted-by-the-tests", readable: true, rootOnly: true,
		set: func(s *scene, _ *company) string {
			file := s.plugins + "/planted-by-the-tests"
			s.put(file)
			s.defers(func() { os.Remove(file) })
			return s.plugins
		},
		reach: []string{"!write|FILE"},
	},
	{name: "shadow", about: "/etc/shadow, which is masked in every task", set: at(func(*scene) string { return "/etc/shadow" }), above: at(func(*scene) string { return "/etc" })},
	{name: "ssl_private", about: "/etc/ssl/private, which is masked in every task", file: "secret", set: at(func(*scene) string { return "/etc/ssl/private" }), above: at(func(*scene) string { return "/etc/ssl" })},
	{name: "nomad_config", about: "/etc/nomad.d, which is masked in every task", file: "secret", set: at(func(*scene) string { return "/etc/nomad.d" }), above: at(func(*scene) string { return "/etc" })},
	{
		name: "masked_dir", about: "a directory of the operator's masked_paths", file: "below/secret",
		set: func(s *scene, _ *company) string {
			s.plant(s.path("srv/masked/below/secret"))
			s.configure(func(c *driver.Config) { c.MaskedPaths = []string{s.path("srv/masked")} })
			return s.path("srv/masked")
		},
		above: func(s *scene, _ *company) string { return s.path("srv") },
	},
	{
		name: "masked_file", about: "a file of the operator's masked_paths",
		set: func(s *scene, _ *company) string {
			s.plant(s.path("srv/masked"))
			s.configure(func(c *driver.Config) { c.MaskedPaths = []string{s.path("srv/masked")} })
			return s.path("srv/masked")
		},
		above: func(s *scene, _ *company) string { return s.path("srv") },
	},
	{
		name: "cgroupfs", about: "the host's cgroup file system", file: "cgroup.procs", rootOnly: true,
		set:   func(s *scene, _ *company) string { return cgroupMount(s) },
		above: func(s *scene, _ *company) string { return filepath.Dir(cgroupMount(s)) },
		reach: []string{"!stat|FILE", "!mkdir|PLACE/harn-attack"},
	},
	{
		name: "cgroupfs_elsewhere", about: "a cgroup file system that is mounted at another place", file: "cgroup.procs", rootOnly: true,
		set: func(s *scene, _ *company) string {
			return s.mount("srv/elsewhere", cgroupMount(s), "", unix.MS_BIND)
		},
		above: func(s *scene, _ *company) string { return s.path("srv") },
		reach: []string{"!stat|FILE", "!mkdir|PLACE/harn-attack"},
	},
	{
		name: "procfs_elsewhere", about: "another procfs, which shows the host's processes", file: "1/cmdline",
		set:   func(s *scene, _ *company) string { return s.mount("srv/elsewhere", "proc", "proc", 0) },
		above: func(s *scene, _ *company) string { return s.path("srv") },
		reach: []string{"!peek|FILE"},
	},
	{
		name: "procfs_part", about: "a directory of another procfs, mounted by itself", file: "cmdline",
		set:   func(s *scene, _ *company) string { return s.mount("srv/elsewhere", "/proc/1", "", unix.MS_BIND) },
		above: func(s *scene, _ *company) string { return s.path("srv") },
		reach: []string{"!peek|FILE"},
	},
	{
		name: "docker_socket", about: "the socket of a container engine, which is as good as root", socket: true, set: at(func(*scene) string { return "/run/docker.sock" }),
		above: at(func(*scene) string { return "/run" }), reach: []string{"!connect|PLACE"},
	},
	{
		name: "containerd_socket", about: "the socket of containerd, which is as good as root", socket: true, set: at(func(*scene) string { return "/run/containerd/containerd.sock" }),
		above: at(func(*scene) string { return "/run" }), reach: []string{"!connect|PLACE"},
	},
	{
		name: "agent_socket", about: "the agent's API socket in another task's secrets", socket: true, set: at(func(s *scene) string { return s.victim.seen + "/secrets/api.sock" }),
		above: nodeRoot, reach: []string{"!connect|PLACE"},
	},
}

// cgroupMount is a cgroup hierarchy of the host.
func cgroupMount(s *scene) string {
	for _, path := range []string{"/sys/fs/cgroup/memory", "/sys/fs/cgroup"} {
		if _, err := os.Stat(path + "/cgroup.procs"); err == nil {
			s.defers(func() { _ = unix.Rmdir(path + "/harn-attack") })
			return path
		}
	}
	s.t.Skip("there is no cgroup file system")
	return ""
}

// mount mounts in the scene's directory, in the tests' own mount namespace.
func (s *scene) mount(name, source, kind string, flags uintptr) string {
	path := s.mkdir(name)
	check(s.t, unix.Mount(source, path, kind, flags, ""))
	s.defers(func() { _ = unix.Unmount(path, unix.MNT_DETACH) })
	return path
}

// way is a field of a job by which it could name a place.
type way struct {
	name  string // in rows
	field string // in errors
	write bool   // it grants writing
	// ask says the job's wish for a path of the host, and returns where the task
	// would see it.
	ask func(s *scene, c *company, config *driver.TaskConfig, path string) string
}

var ways = []way{
	{"workspace_root", "workspace_roots", true, func(s *scene, _ *company, config *driver.TaskConfig, path string) string {
		config.Policy = s.policy([]string{path}, nil)
		return path
	}},
	{"read_only_root", "read_only_roots", false, func(s *scene, _ *company, config *driver.TaskConfig, path string) string {
		config.Policy = s.policy(nil, []string{path})
		return path
	}},
	{"socket_root", "unix_socket_roots", false, func(s *scene, _ *company, config *driver.TaskConfig, path string) string {
		config.Policy = s.policy(nil, nil)
		config.Policy.UnixSocketRoots = []string{path}
		return path
	}},
	{"volume", "volume_mount", true, func(s *scene, c *company, config *driver.TaskConfig, path string) string {
		config.Policy = s.policy(nil, nil)
		// Each its own: the driver makes what it mounts on, a file or a directory.
		destination := fmt.Sprintf("volume-%s-%d", filepath.Base(s.dir), s.tick())
		c.mounts = []*drivers.MountConfig{{TaskPath: destination, HostPath: path, PropagationMode: "private"}}
		return c.real(destination)
	}},
	{"work_dir", "work_dir", false, func(s *scene, _ *company, config *driver.TaskConfig, path string) string {
		config.Policy = s.policy(nil, nil)
		config.WorkDir = path
		return "."
	}},
}

// authorPlaces are a story for each protected place and each way.
func authorPlaces() (stories []story) {
	for _, place := range protectedPlaces {
		for _, way := range ways {
			if place.readable && !way.write || place.socket == (way.name == "read_only_root") && place.socket || way.name == "work_dir" && place.file == "" {
				continue
			}
			stories = append(stories, story{
				name:    "author_" + way.name + "_" + place.name,
				about:   fmt.Sprintf("Names %s as %s: at it, below it, above it, through links.", place.about, way.field),
				network: place.socket, root: place.rootOnly, unprivileged: !place.rootOnly,
				play: func(s *scene) { place.attack(s, &way) },
			})
		}
	}
	return stories
}

// spelling is one way to name a place.
type spelling struct {
	path string // as the job writes it
	rest string // the place, below what the path names; ".." is above it
	high bool   // the path is above the place: it may be a root
}

func (p *protected) attack(s *scene, way *way) {
	c := s.resident()
	if p.host != nil || strings.HasPrefix(p.name, "log") { // it may come out changed
		c = s.company("attack", s.profile.user)
	}
	place := p.set(s, c)
	file := strings.ReplaceAll(p.file, "VICTIM", s.victim.alloc)
	reach := p.reach
	if reach == nil {
		reach = []string{"!steal|PLACE", "!steal|FILE", "!write|FILE"}
	}
	operations := func(at string) (list []string) {
		for _, op := range reach {
			if !way.write && !p.socket && !reads(op) {
				continue // nothing that this way grants
			}
			list = append(list, strings.NewReplacer("PLACE", at, "FILE", filepath.Join(at, file)).Replace(op))
		}
		return list
	}
	onHost := place
	if p.host != nil {
		onHost = p.host(c)
	}
	full := s.profile == storyProfiles[0] || s.story.root
	if full {
		s.control(slices.DeleteFunc(operations(onHost), func(op string) bool {
			return !reads(op) && !strings.HasPrefix(op, "!write") && !strings.HasPrefix(op, "!connect")
		})...)
	}
	s.restorePlace(filepath.Join(onHost, file), p)

	for _, spelled := range p.spellings(s, c, way, place, file, full) {
		config := driver.TaskConfig{}
		c.mounts = nil
		seen := way.ask(s, c, &config, spelled.path)
		list := operations(seen)
		switch {
		case spelled.high && way.name == "work_dir":
			list = operations(filepath.Join(spelled.path, spelled.rest))
		case spelled.high:
			list = operations(filepath.Join(seen, spelled.rest))
		case spelled.rest != "": // below: the file itself
			list = []string{"!steal|" + seen}
			if way.write {
				list = append(list, "!write|"+seen)
			}
			if p.readable {
				list = list[1:]
			}
			if p.socket || p.reach != nil && !p.readable {
				list = operationsOn(reach, seen)
			}
		case way.name != "volume" && way.name != "work_dir":
			list = operations(place) // where it is, whatever it is called
		}
		result := c.probe(config, list...)
		switch places := p.places(s, place, spelled.path); {
		case result.refused != nil && way.name == "socket_root" && s.abi < 9:
			s.refusal(result.refused, way.field)
			s.answers = s.answers[:len(s.answers)-1]
			s.unproved = "unix_socket_roots need Landlock ABI 9"
		case spelled.high:
			result.mayBeRefused(way.field, places...)
		case way.name == "work_dir":
			result.mayBeRefused(way.field, places...) // it grants nothing
		default:
			result.mustBeRefused(way.field, places...)
		}
		s.restorePlace(filepath.Join(onHost, file), p)
	}
	// The same beside the place works.
	if !full || way.name == "socket_root" && s.abi < 9 {
		return
	}
	config := driver.TaskConfig{}
	c.mounts = nil
	beside := s.plant(s.path("beside/file"))
	if p.socket {
		serve(s.t, "unix", s.path("beside/socket"))
		seen := way.ask(s, c, &config, s.path("beside"))
		if len(c.mounts) > 0 { // a name of a socket has 107 bytes at most, unix(7)
			seen = "/srv/beside"
			c.mounts[0].TaskPath = seen
		}
		c.probe(config, "+connect|"+seen+"/socket").mustStart()
		return
	}
	if way.name == "work_dir" {
		config.Policy = s.policy([]string{filepath.Dir(beside)}, nil)
		config.WorkDir = filepath.Dir(beside)
		c.probe(config, "+steal|.").mustStart()
		return
	}
	seen := way.ask(s, c, &config, filepath.Dir(beside))
	list := []string{"+steal|" + seen}
	if way.write {
		list = append(list, "+write|"+seen+"/file")
	}
	if way.name == "socket_root" {
		list = []string{"sleep|0s"}
	}
	c.probe(config, list...).mustStart()
}

// reads reports whether an operation needs nothing but reading.
func reads(op string) bool {
	for _, name := range []string{"!steal|", "!peek|", "!list|", "!read|", "!stat|"} {
		if strings.HasPrefix(op, name) {
			return true
		}
	}
	return false
}

// operationsOn are those on the file of a place.
func operationsOn(reach []string, file string) (list []string) {
	for _, op := range reach {
		if strings.HasSuffix(op, "|FILE") || strings.HasSuffix(op, "connect|PLACE") {
			list = append(list, strings.NewReplacer("FILE", file, "PLACE", file).Replace(op))
		}
	}
	if len(list) == 0 {
		list = []string{"!steal|" + file}
	}
	return list
}

// spellings are the ways to write the place.
func (p *protected) spellings(s *scene, c *company, way *way, place, file string, full bool) []spelling {
	dir, base := filepath.Split(place)
	list := []spelling{{path: place}}
	if !full || way.name == "socket_root" && s.abi < 9 {
		return list
	}
	odd := "/" + dir + "../" + filepath.Base(dir) + "//./" + base
	if p.file != "" {
		odd += "/"
	}
	list = append(list, spelling{path: odd}, spelling{path: filepath.Join(s.link(filepath.Dir(place), s.ofRoot("link-above")), base)})
	if way.name == "workspace_root" || way.name == "volume" {
		list = append(list, spelling{path: s.link(place, s.ofRoot("link"))})
	}
	if p.file != "" && way.name != "work_dir" {
		list = append(list, spelling{path: filepath.Join(place, file), rest: "file"})
	}
	if relative, err := filepath.Rel(c.seen, place); err == nil && filepath.IsLocal(relative) && way.name != "volume" {
		list = append(list, spelling{path: relative})
	}
	if p.above != nil {
		above := p.above(s, c)
		rest, err := filepath.Rel(above, place)
		check(s.t, err)
		list = append(list, spelling{path: above, rest: rest, high: true})
		if way.name == "workspace_root" {
			list = append(list, spelling{path: s.link(above, s.ofRoot("link-high")), rest: rest, high: true})
		}
	}
	return list
}

// places are what a refusal may name.
func (p *protected) places(s *scene, place, spelled string) []string {
	list := []string{place, s.data, s.alloc, s.mounts, spelled}
	if strings.Contains(place, "/alloc/logs") {
		list = append(list, "alloc/logs")
	}
	return list
}

// restorePlace puts the secret back which an attack, or its control, may have
// changed.
func (s *scene) restorePlace(file string, p *protected) {
	if info, err := os.Lstat(file); p.socket || err == nil && !info.Mode().IsRegular() {
		return
	}
	var fs unix.Statfs_t
	if unix.Statfs(filepath.Dir(file), &fs) == nil && (fs.Type == unix.PROC_SUPER_MAGIC || fs.Type == unix.CGROUP_SUPER_MAGIC || fs.Type == unix.CGROUP2_SUPER_MAGIC) {
		return
	}
	s.put(file)
}
