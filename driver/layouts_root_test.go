// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

// hostRoot is a directory that becomes the root of a host.
type hostRoot struct{ dirPath string }

// newHostRoot makes one in memory.
func newHostRoot(t *testing.T) *hostRoot {
	t.Helper()
	r := &hostRoot{dirPath: t.TempDir()}
	mount(t, "tmpfs", r.dirPath, "tmpfs", 0, "mode=755")
	return r
}

func mount(t *testing.T, source, target, kind string, flags uintptr, data string) {
	t.Helper()
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		t.Fatalf("mounting %s on %s: %v", source, target, err)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// at is where a path of the host is before it has become the root.
func (r *hostRoot) at(path string) string { return filepath.Join(r.dirPath, path) }

func (r *hostRoot) dir(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	check(t, os.MkdirAll(r.at(path), 0o755))
	check(t, os.Chmod(r.at(path), mode))
}

func (r *hostRoot) file(t *testing.T, path, content string) {
	t.Helper()
	check(t, os.MkdirAll(filepath.Dir(r.at(path)), 0o755))
	check(t, os.RemoveAll(r.at(path)))
	check(t, os.WriteFile(r.at(path), []byte(content), 0o644))
}

func (r *hostRoot) symlink(t *testing.T, target, path string) {
	t.Helper()
	check(t, os.MkdirAll(filepath.Dir(r.at(path)), 0o755))
	check(t, os.Symlink(target, r.at(path)))
}

func (r *hostRoot) remove(t *testing.T, path string) {
	t.Helper()
	check(t, os.RemoveAll(r.at(path)))
}

func (r *hostRoot) isLink(path string) bool {
	info, err := os.Lstat(r.at(path))
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

// link moves what is at a path to where a link leads that takes its place.
func (r *hostRoot) link(t *testing.T, path, target string) {
	t.Helper()
	to := target
	if !filepath.IsAbs(to) {
		to = filepath.Join(filepath.Dir(path), to)
	}
	switch _, err := os.Stat(r.at(path)); {
	case err != nil:
		t.Fatal(err)
	case r.isLink(path): // of a file: with its content
		text, err := os.ReadFile(r.at(path))
		check(t, err)
		r.remove(t, path)
		r.file(t, to, string(text))
	case exists(r.at(to)):
		r.remove(t, path)
	default:
		check(t, os.MkdirAll(r.at(filepath.Dir(to)), 0o755))
		check(t, os.Rename(r.at(path), r.at(to)))
	}
	r.symlink(t, target, path)
}

// show shows a directory of this host, with what is mounted in it.
func (r *hostRoot) show(t *testing.T, path string) {
	t.Helper()
	r.dir(t, path, 0o755)
	mount(t, path, r.at(path), "", unix.MS_BIND|unix.MS_REC, "")
}

// kernel shows what is the kernel's.
func (r *hostRoot) kernel(t *testing.T) {
	t.Helper()
	for _, path := range []string{"/dev", "/proc", "/sys"} {
		r.show(t, path)
	}
}

// empty makes the directories that every host has.
func (r *hostRoot) empty(t *testing.T) {
	t.Helper()
	for _, path := range []string{"/home", "/mnt", "/opt", "/run", "/srv", "/var/lib"} {
		r.dir(t, path, 0o755)
	}
	r.dir(t, "/root", 0o700)
	for _, path := range []string{"/tmp", "/var/tmp"} {
		r.dir(t, path, 0o777|fs.ModeSticky)
	}
	if !exists(r.at("/var/run")) {
		r.symlink(t, "/run", "/var/run")
	}
	r.kernel(t)
}

// etc is a small /etc.
func (r *hostRoot) etc(t *testing.T) {
	t.Helper()
	r.file(t, "/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n")
	r.file(t, "/etc/group", "root:x:0:\nnogroup:x:65534:\n")
	r.file(t, "/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
}

// plainBase is this host, with other directories in the place of those that are
// written to.
func plainBase(t *testing.T, r *hostRoot) {
	t.Helper()
	entries, err := os.ReadDir("/")
	check(t, err)
	for _, entry := range entries {
		path := "/" + entry.Name()
		switch {
		case entry.Type() == fs.ModeSymlink:
			target, err := os.Readlink(path)
			check(t, err)
			r.symlink(t, target, path)
		case path == "/usr", slices.Contains(programDirs, path):
			r.show(t, path)
		}
	}
	copyTree(t, "/etc", r.at("/etc"))
	r.empty(t)
}

// programDirs are the directories of programs and libraries in the root, of which
// some are links on a host with a merged /usr.
var programDirs = []string{"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("cp -a %s %s: %v, %s", from, to, err, out)
	}
}

// overlayBase is a small host of its own, in the lower layer of an overlay.
func overlayBase(t *testing.T, r *hostRoot) {
	t.Helper()
	for _, dir := range []string{"lower", "upper", "work", "root"} {
		check(t, os.Mkdir(r.at(dir), 0o755))
	}
	lower := &hostRoot{r.at("lower")}
	lower.programs(t, merged)
	root := r.at("root")
	layers := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", r.at("lower"), r.at("upper"), r.at("work"))
	if err := unix.Mount("overlay", root, "overlay", 0, layers); err != nil {
		kerneltest.Missing(t, "no overlay: %v", err)
	}
	r.dirPath = root
	r.empty(t)
}

// copied are the programs that the jobs use.
var copied = []string{
	"sh", "bash", "cat", "chmod", "cp", "cut", "date", "dirname", "env", "getent", "grep", "id", "kill", "ls", "mkdir", "mktemp",
	"ps", "readlink", "rm", "sleep", "stat", "test", "touch", "tr", "whoami", "wc", "printf", "echo", "head",
}

// A programFile is a file of a program: where it is on this host, and where it is to be.
type programFile struct{ from, name string }

// programParts are the programs and their libraries, and the loader.
func programParts(t *testing.T) (programs, libraries []programFile, loader programFile) {
	t.Helper()
	for _, name := range copied {
		path, err := exec.LookPath(name)
		check(t, err)
		programs = append(programs, programFile{path, name})
		out, err := exec.Command("ldd", path).Output()
		if err != nil {
			t.Fatalf("ldd %s: %v", path, err)
		}
		for _, match := range library.FindAllStringSubmatch(string(out), -1) {
			p := programFile{match[1], filepath.Base(match[1])}
			switch {
			case strings.HasPrefix(p.name, "ld-linux"):
				loader = p
			case !slices.Contains(libraries, p):
				libraries = append(libraries, p)
			}
		}
	}
	return programs, libraries, loader
}

// library is a file that ldd(1) names.
var library = regexp.MustCompile(`(?m)(/\S+) \(0x`)

// merged and unmerged are how distributions place programs and libraries.
const (
	merged   = true
	unmerged = false
)

// copiedBase is a small host of its own.
func copiedBase(usrMerged bool) func(*testing.T, *hostRoot) {
	return func(t *testing.T, r *hostRoot) {
		t.Helper()
		r.programs(t, usrMerged)
		r.empty(t)
	}
}

// programs are those that the jobs use, and a small /etc.
func (r *hostRoot) programs(t *testing.T, usrMerged bool) {
	t.Helper()
	programs, libraries, loader := programParts(t)
	if usrMerged {
		for _, dir := range []string{"bin", "sbin", "lib", "lib64"} {
			r.dir(t, "/usr/"+dir, 0o755)
			r.symlink(t, "usr/"+dir, dir)
		}
	}
	for _, p := range programs {
		dir := "/bin"
		if p.name == "env" || p.name == "id" || p.name == "whoami" || p.name == "getent" {
			dir = "/usr/bin"
		}
		r.copy(t, p.from, filepath.Join(dir, p.name))
	}
	for i, p := range libraries {
		place := p.from
		if !usrMerged && i%2 == 1 { // as unmerged hosts have: some here, some there
			place = "/usr" + strings.TrimPrefix(p.from, "/usr")
		}
		r.copy(t, p.from, place)
	}
	r.copy(t, loader.from, loader.from)
	r.etc(t)
}

func (r *hostRoot) copy(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	check(t, err)
	check(t, os.MkdirAll(filepath.Dir(r.at(to)), 0o755))
	check(t, os.WriteFile(r.at(to), text, 0o755))
}

// nixBase is a host as NixOS lays it out: all is in /nix/store, which links lead
// to from /run/current-system, /etc/static and two names in /bin and /usr/bin.
func nixBase(t *testing.T, r *hostRoot) {
	t.Helper()
	store := func(name string) string {
		hash := strings.Repeat("0123456789abcdfghijklmnpqrsvwxyz"[len(name):len(name)+1], 32)
		return "/nix/store/" + hash + "-" + name
	}
	glibc, tools, shell := store("glibc-2.40"), store("coreutils-9.5"), store("bash-5.2")
	path, system, etc := store("system-path"), store("nixos-system-harn"), store("etc")
	programs, libraries, loader := programParts(t)
	for _, p := range append(libraries, loader) {
		r.copy(t, p.from, glibc+"/lib/"+p.name)
	}
	for _, p := range programs {
		dir := tools
		if p.name == "sh" || p.name == "bash" {
			dir = shell
		}
		r.copy(t, p.from, dir+"/bin/"+p.name)
		setLoader(t, r.at(dir+"/bin/"+p.name), glibc+"/lib/"+loader.name)
		r.symlink(t, dir+"/bin/"+p.name, path+"/bin/"+p.name)
	}
	r.symlink(t, path, system+"/sw")
	r.symlink(t, etc+"/etc", system+"/etc")
	r.symlink(t, shell+"/bin/sh", "/bin/sh")
	r.symlink(t, tools+"/bin/env", "/usr/bin/env")
	r.etc(t)
	r.empty(t)
	r.symlink(t, system, "/run/current-system")
	r.symlink(t, etc+"/etc", "/etc/static")
	for _, file := range []string{"nsswitch.conf", "ssl/certs/site.pem", "zoneinfo/Site/Here"} {
		text := map[bool]string{true: zoneFile, false: certificate}[strings.HasPrefix(file, "zone")]
		if file == "nsswitch.conf" {
			text = "passwd: files\ngroup: files\nhosts: files dns\n"
		}
		r.file(t, etc+"/etc/"+file, text)
		r.remove(t, "/etc/"+file)
		r.symlink(t, "/etc/static/"+file, "/etc/"+file)
	}
	r.symlink(t, "/etc/zoneinfo/Site/Here", "/etc/localtime")
	// The loader of NixOS knows by the programs where their libraries are, that of
	// other systems by a list.
	r.file(t, "/etc/ld.so.conf", glibc+"/lib\n")
	if out, err := exec.Command("/sbin/ldconfig", "-r", r.dirPath).CombinedOutput(); err != nil {
		t.Fatalf("ldconfig: %v, %s", err, out)
	}
}

// setLoader names another dynamic loader in a program: the name is at its end.
func setLoader(t *testing.T, file, loader string) {
	t.Helper()
	text, err := os.ReadFile(file)
	check(t, err)
	binary, err := elf.NewFile(bytes.NewReader(text))
	check(t, err)
	order := binary.ByteOrder
	table, size, count := order.Uint64(text[32:]), int(order.Uint16(text[54:])), int(order.Uint16(text[56:])) // Elf64_Ehdr
	for i := range count {
		header := text[int(table)+i*size:]
		if order.Uint32(header) == uint32(elf.PT_INTERP) {
			order.PutUint64(header[8:], uint64(len(text)))      // p_offset
			order.PutUint64(header[32:], uint64(len(loader)+1)) // p_filesz
			order.PutUint64(header[40:], uint64(len(loader)+1)) // p_memsz
			check(t, os.WriteFile(file, append(text, loader+"\x00"...), 0o755))
			return
		}
	}
	t.Fatalf("%s has no dynamic loader", file)
}

// needsBtrfs ends the test where no such file system can be made.
func needsBtrfs(t *testing.T) {
	t.Helper()
	if kinds, err := os.ReadFile("/proc/filesystems"); err != nil || !strings.Contains(string(kinds), "\tbtrfs\n") {
		t.Skipf("this kernel has no btrfs (%v)", err)
	}
	if _, err := exec.LookPath("mkfs.btrfs"); err != nil {
		t.Skip("no mkfs.btrfs: make setup installs btrfs-progs")
	}
}

// btrfsBase is a small host of its own, on btrfs.
func btrfsBase(t *testing.T, r *hostRoot) {
	t.Helper()
	image, at := r.at("image"), r.at("root")
	check(t, os.WriteFile(image, nil, 0o600))
	check(t, os.Truncate(image, 256<<20))
	check(t, os.Mkdir(at, 0o755))
	if out, err := exec.Command("mkfs.btrfs", "-q", image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.btrfs: %v, %s", err, out)
	}
	if out, err := exec.Command("mount", "-o", "loop", image, at).CombinedOutput(); err != nil {
		t.Skipf("no loop device: %v, %s", err, out)
	}
	r.dirPath = at
	copiedBase(merged)(t, r)
}

// What the jobs look for.
const (
	certificate = "-----BEGIN CERTIFICATE-----\n"
	secret      = "a secret of the host\n"
	nameserver  = "nameserver 192.0.2.53\n"
)

// zoneFile is a time zone that no host has, tzfile(5).
var zoneFile = func() string {
	const counts = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x04"
	part := "TZif2" + strings.Repeat("\x00", 15) + counts + "\x00\x00\x46\x50\x00\x00HRN\x00"
	return part + part + "\nHRN-5\n"
}()

// furnish adds what the jobs look for, unless the host has it in a place of its own.
func (r *hostRoot) furnish(t *testing.T) {
	t.Helper()
	if !r.isLink("/etc/ssl/certs/site.pem") {
		r.file(t, "/etc/ssl/certs/site.pem", certificate)
	}
	if !r.isLink("/etc/localtime") || !exists(r.at("/etc/zoneinfo")) {
		r.remove(t, "/etc/localtime")
		r.file(t, "/etc/zone-here", zoneFile)
		r.symlink(t, "zone-here", "/etc/localtime")
	}
	r.file(t, "/etc/resolv.conf", nameserver)
	for _, file := range []string{"/etc/shadow", "/etc/ssl/private/key.pem", "/etc/nomad.d/agent.hcl"} {
		r.file(t, file, secret)
		check(t, os.Chmod(r.at(file), 0o644)) // the mode does not guard it
		check(t, os.Chmod(filepath.Dir(r.at(file)), 0o755))
	}
	r.file(t, "/srv/data/public", "data\n")
	r.file(t, "/srv/data.private", secret)
	r.dir(t, "/srv/work", 0o777)
	r.file(t, "/srv/volume/f", "of a volume\n")
}

// enter makes it the root of this process and its threads.
func (r *hostRoot) enter(t *testing.T) {
	t.Helper()
	check(t, os.Chdir(r.dirPath))
	check(t, unix.PivotRoot(".", "."))
	check(t, unix.Unmount(".", unix.MNT_DETACH))
	check(t, os.Chdir("/"))
}
