// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package suggest

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/burin-labs/nomad-driver-harn/internal/people"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// A task has a say in what it is denied, and writes its log: it could ask for what
// nobody should give it. So some places are never suggested, whoever wants them:
// who means to admit one writes it by hand.

// Place is one that is not suggested, nor what is beneath.
type Place struct {
	Path string // absolute
	Why  string // as in "it is ..."
}

// Guard knows what is never suggested.
type Guard struct {
	// Places are those of this host, beside the ones that each host has.
	Places []Place
	// Root is where the host's files are looked up: "" is the host itself.
	Root string

	homes []string // read from passwd(5) once; nil before
}

// hosts are places of every host.
var hosts = []Place{
	{"/proc", "a part of the kernel's /proc: every task has one of its own, no root admits more of it"},
	{"/sys", "a part of the kernel's /sys: every task has what it needs of it, no root admits more"},
	{"/dev", "a device: every task has a /dev of its own; what the operator allows (plugin option devices) can be named in devices by hand"},
	{"/etc/shadow", "a secret of the system"},
	{"/etc/shadow-", "a secret of the system"},
	{"/etc/gshadow", "a secret of the system"},
	{"/etc/gshadow-", "a secret of the system"},
	{"/etc/security/opasswd", "a secret of the system"},
	{"/etc/sudoers", "a secret of the system"},
	{"/etc/sudoers.d", "a secret of the system"},
	{"/etc/krb5.keytab", "a secret of the system"},
	{"/etc/ssl/private", "a secret of the system"},
	{"/etc/pki/tls/private", "a secret of the system"},
	{"/etc/letsencrypt/live", "a secret of the system"},
	{"/etc/letsencrypt/archive", "a secret of the system"},
	{"/etc/wireguard", "a secret of the system"},
	{"/var/lib/sss", "a secret of the system"},
	{"/etc/nomad", "a directory of Nomad's"},
	{"/etc/nomad.d", "a directory of Nomad's"},
	{"/opt/nomad", "a directory of Nomad's"},
	{"/var/nomad", "a directory of Nomad's"},
	{"/var/lib/nomad", "a directory of Nomad's"},
	{"/var/lib/nomad-driver-harn", "the directory of the driver's records"},
	{"/etc/consul.d", "a directory of Consul's"},
	{"/etc/vault.d", "a directory of Vault's"},
	{"/opt/consul", "a directory of Consul's"},
	{"/opt/vault", "a directory of Vault's"},
	{"/var/lib/docker", engine},
	{"/var/lib/containerd", engine},
	{"/var/lib/containers", engine},
	{"/var/lib/kubelet", engine},
	{"/var/lib/lxd", engine},
	{"/var/snap/lxd", engine},
	{"/etc/kubernetes", engine},
	{"/run/docker.sock", engine},
	{"/run/docker", engine},
	{"/run/containerd", engine},
	{"/run/podman", engine},
	{"/run/crio", engine},
	{"/run/k3s", engine},
	{"/run/buildkit", engine},
	{"/run/libvirt", engine},
	{"/run/incus", engine},
	{"/run/lxd.socket", engine},
	{"/run/snapd.socket", "a socket by which root's service can be told what to do"},
	{"/run/systemd", "a socket by which root's service can be told what to do"},
	{"/run/dbus", "a socket by which root's service can be told what to do"},
	{"/run/credentials", "a secret of the system"},
	{"/run/secrets", "a secret of the system"},
	{"/var/log", operators},
	{"/var/lib/systemd", operators},
	{"/var/lib/private", operators},
	{"/var/spool", operators},
	{"/var/mail", operators},
	{"/var/backups", operators},
}

const engine = "a part of a container engine: by its socket or files, anything on the host can be changed"

// operatorsHome has root's settings, which are hidden files and directories: none is
// suggested whole. Programs in them, as those of .nvm, may be what a task is about.
const operatorsHome = "/root"

const operators = "what the system keeps for its operator: have the program write to its own directories, or name it by hand"

// engineSockets are names of sockets, wherever they are: those of an engine without
// root lie in /run/user or a home.
var engineSockets = []string{"docker.sock", "podman.sock", "containerd.sock", "crio.sock", "buildkitd.sock", "nomad.sock", "api.sock"}

// names of directories, and beginnings of names of files, that hold keys of the
// system in a directory that has other things, too.
var keyFiles = []Place{{"/etc/ssh/ssh_host_", "a key of this host"}}

// Refuse says why a path is not suggested, "" if nothing is against it. It looks at
// what the path says, and at what it is on this host: a name that the task knows can
// be a link.
func (g *Guard) Refuse(name string) string {
	name = filepath.Clean(name)
	why := g.refuse(name)
	if file, err := filepath.EvalSymlinks(g.Root + name); why == "" && err == nil {
		if file = path.Join("/", strings.TrimPrefix(file, g.Root)); file != name {
			if why = g.refuse(file); why != "" {
				why = fmt.Sprintf("it leads to %s: %s", plain.Name(file), why)
			}
		}
	}
	return why
}

func (g *Guard) refuse(name string) string {
	for _, place := range slices.Concat(hosts, g.Places) {
		for _, at := range alias(place.Path) {
			if landlock.Beneath(at, name) {
				return "it is " + place.Why
			}
			// What the driver covers by itself may be above.
			if strings.Contains(place.Why, "socket") && landlock.Beneath(name, at) {
				return fmt.Sprintf("in it is %s, %s", plain.Name(at), place.Why)
			}
		}
	}
	for _, place := range keyFiles {
		if strings.HasPrefix(name, place.Path) {
			return "it is " + place.Why
		}
	}
	if slices.Contains(engineSockets, path.Base(name)) {
		return "it is " + engine
	}
	for _, rel := range policy.Credentials {
		if strings.Contains(name+"/", "/"+rel+"/") {
			return fmt.Sprintf("it holds credentials (%s of a home)", rel)
		}
		if _, err := os.Lstat(g.Root + path.Join(name, rel)); err == nil {
			return fmt.Sprintf("in it are credentials, %s: name what the task needs of it", plain.Name(path.Join(name, rel)))
		}
		// A directory on the way to one, as .config.
		for above := path.Dir(rel); above != "."; above = path.Dir(above) {
			home, is := strings.CutSuffix(name, "/"+above)
			if !is {
				continue
			}
			if _, err := os.Lstat(g.Root + path.Join(home, rel)); err == nil {
				return fmt.Sprintf("in it are credentials, %s: name what the task needs of it", plain.Name(path.Join(home, rel)))
			}
		}
	}
	if why := g.secret(name); why != "" {
		return why
	}
	for _, home := range g.homesOfPeople() {
		if landlock.Beneath(name, home) {
			return fmt.Sprintf("the home %s is all in it, where credentials are kept: name what the task needs of it", plain.Name(home))
		}
	}
	if path.Dir(name) == operatorsHome && strings.HasPrefix(path.Base(name), ".") {
		return fmt.Sprintf("it is the operator's, hidden in the home %s: name what the task needs in it by hand, or have that installed outside of homes, as in /opt", operatorsHome)
	}
	if data := g.nomadData(name); data != "" {
		return fmt.Sprintf("it is in %s, a directory of Nomad's", plain.Name(data))
	}
	return ""
}

// alias are the names of a place: /var/run is /run on most hosts.
func alias(place string) []string {
	if rest, ok := strings.CutPrefix(place, "/run/"); ok {
		return []string{place, "/var/run/" + rest}
	}
	return []string{place}
}

// homesOfPeople are the homes of people, and the directory that has them.
func (g *Guard) homesOfPeople() []string {
	if g.homes == nil {
		g.homes = append(people.Homes(g.Root), "/home")
	}
	return g.homes
}

// nomadData is the directory at or above a path that has an agent's state, "" if
// none has.
func (g *Guard) nomadData(name string) string {
	for dir := name; dir != "/" && dir != "."; dir = path.Dir(dir) {
		for _, sign := range []string{"client/state.db", "server/raft"} {
			if _, err := os.Lstat(g.Root + path.Join(dir, sign)); err == nil {
				return dir
			}
		}
		// It may lie beside the data directory, among what is not Nomad's.
		mounts := path.Join(dir, "alloc_mounts")
		if _, err := os.Lstat(g.Root + mounts); err == nil && (name == dir || landlock.Beneath(mounts, name)) {
			return mounts
		}
	}
	return ""
}

// task says why a path is not for the task that has this directory: it is among the
// directories of others.
func (g *Guard) task(taskDir, name string) string {
	above := filepath.Dir(taskDir)
	if taskDir == "" || above == "/" || above == "." || landlock.Beneath(taskDir, name) || !landlock.Beneath(above, name) && !landlock.Beneath(name, above) {
		return ""
	}
	return "Nomad has the directories of all tasks there: a task gets its own only"
}
