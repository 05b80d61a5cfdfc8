// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Probed is how one operation of a story ended.
type Probed struct {
	Operation string `json:"operation"`
	Answer    string `json:"answer"` // as in [Result]
	Detail    string `json:"detail,omitempty"`
}

// probe carries out operations, one after the other, and appends how each
// ended to a file. An operation is "NAME|PATH" or "NAME|PATH|OTHER"; a sign
// before it, ! or +, is the host's to judge by.
func probe(file string, operations []string) error {
	out, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(out)
	for _, operation := range operations {
		words := strings.SplitN(strings.TrimLeft(operation, "!+"), "|", 3)
		p := Probed{Operation: operation}
		if do := probes[words[0]]; do == nil {
			p.Answer = "unknown operation"
		} else {
			p.Answer, p.Detail = answer(do(append(words, "", "")[1:]))
		}
		if err := encoder.Encode(p); err != nil {
			return err
		}
	}
	return out.Close()
}

// tampered is what operations write.
const tampered = "tampered by the task\n"

// probes are the operations. Each returns nil only if it got what it wanted.
var probes = map[string]func(args []string) error{
	"read":  func(a []string) error { return readSecret(a[0]) },
	"peek":  func(a []string) error { return something(os.ReadFile(a[0])) },
	"steal": func(a []string) error { return steal(a[0]) },
	"list": func(a []string) error {
		entries, err := os.ReadDir(a[0])
		if err == nil && len(entries) == 0 {
			return errNothing
		}
		return err
	},
	"stat":     func(a []string) error { _, err := os.Stat(a[0]); return err },
	"write":    func(a []string) error { return put(a[0], os.O_WRONLY) },
	"append":   func(a []string) error { return put(a[0], os.O_WRONLY|os.O_APPEND) },
	"truncate": func(a []string) error { return os.Truncate(a[0], 0) },
	"create":   func(a []string) error { return put(a[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL) },
	"unlink":   func(a []string) error { return os.Remove(a[0]) },
	"rename":   func(a []string) error { return os.Rename(a[0], a[1]) },
	"exchange": func(a []string) error {
		return unix.Renameat2(unix.AT_FDCWD, a[0], unix.AT_FDCWD, a[1], unix.RENAME_EXCHANGE)
	},
	"link":      func(a []string) error { return os.Link(a[0], a[1]) },
	"symlink":   func(a []string) error { return os.Symlink(a[0], a[1]) },
	"mkdir":     func(a []string) error { return os.Mkdir(a[0], 0o777) },
	"subvolume": func(a []string) error { return subvolume(a[0], -1) },
	"snapshot":  func(a []string) error { return snapshot(a[0], a[1]) },
	"mkfifo":    func(a []string) error { return unix.Mkfifo(a[0], 0o666) },
	"listen": func(a []string) error {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: a[0], Net: "unix"})
		if err == nil {
			l.SetUnlinkOnClose(false)
			_ = l.Close()
		}
		return err
	},
	"chmod":   func(a []string) error { return os.Chmod(a[0], 0o777) },
	"setuid":  func(a []string) error { return setuidCopy(a[0]) },
	"connect": func(a []string) error { return dial("unix", a[0]) },
	"send":    func(a []string) error { return dial("unixgram", a[0]) },
	"run":     func(a []string) error { return exec.Command(a[0]).Run() },
	"device": func(a []string) error { // of zeros
		f, err := os.OpenFile(a[0], os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.Read(make([]byte, 1))
		return err
	},
	"euid": func(a []string) error { // that of this process, or of a program
		out := []byte(fmt.Sprintf("euid=%d ", os.Geteuid()))
		if a[1] != "" {
			var err error
			if out, err = exec.Command(a[1], "identity").Output(); err != nil {
				return err
			}
		}
		if strings.HasPrefix(string(out), "euid="+a[0]+" ") {
			return nil
		}
		return errors.New(strings.TrimSpace(string(out)))
	},
	"kill": func(a []string) error {
		pid, err := strconv.Atoi(a[0])
		if err != nil {
			return err
		}
		return unix.Kill(pid, unix.SIGUSR1)
	},
	"argument": func(a []string) error { // the first of the task's, without its end
		data, err := os.ReadFile("/proc/self/cmdline")
		if err == nil && !strings.Contains(string(data), a[0]+"\x00") {
			return errNothing
		}
		return err
	},
	"wait": func(a []string) error { return appears(a[0], 10*time.Second) },
	// Leaves time to a host that is to be seen doing nothing.
	"sleep": func(a []string) error {
		d, err := time.ParseDuration(a[0])
		time.Sleep(d)
		return err
	},
	"flood": func(a []string) error { // of MiB, to the standard output
		count, err := strconv.Atoi(a[0])
		line := strings.Repeat("*", 1023) + "\n"
		for i := 0; i < count<<10 && err == nil; i++ {
			_, err = os.Stdout.WriteString(line)
		}
		return err
	},
	"keys":  func(a []string) error { return operatorKeys(a[0]) },
	"type":  func(a []string) error { return typeInto(a[0]) },
	"storm": func(a []string) error { return storm(a[0]) },
	"limit": func([]string) error { return limitOthers() },
}

// subvolume makes a subvolume of btrfs, as a copy of another one that is open, or empty.
func subvolume(path string, source int) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	args := struct { // btrfs_ioctl_vol_args
		fd   int64
		name [4088]byte
	}{fd: int64(source)}
	copy(args.name[:], filepath.Base(path))
	request := uintptr(0x5000940e) // BTRFS_IOC_SUBVOL_CREATE
	if source >= 0 {
		request = 0x50009401 // BTRFS_IOC_SNAP_CREATE
	}
	return do(unix.SYS_IOCTL, dir.Fd(), request, uintptr(unsafe.Pointer(&args)))
}

func snapshot(of, path string) error {
	source, err := os.Open(of)
	if err != nil {
		return err
	}
	defer source.Close()
	return subvolume(path, int(source.Fd()))
}

func something(data []byte, err error) error {
	if err == nil && len(data) == 0 {
		return errNothing
	}
	return err
}

func put(path string, flags int) error {
	f, err := os.OpenFile(path, flags|unix.O_NONBLOCK, 0o666)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err = f.WriteString(tampered); err != nil {
		return err
	}
	// A file that is masked by a null device takes everything, and has nothing.
	if data, err := os.ReadFile(path); err == nil && !strings.Contains(string(data), tampered) {
		return errNothing
	}
	return nil
}

// steal looks for a secret in a file, or in all files beneath a directory.
// Else it returns the first error.
func steal(root string) error {
	found, first := false, error(nil)
	_ = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			return nil
		}
		if err == nil {
			var info fs.FileInfo
			if info, err = os.Stat(path); err == nil && info.Mode().IsRegular() {
				err = readSecret(path)
				found = err == nil
			}
		}
		if first == nil && err != nil && !errors.Is(err, errNothing) {
			first = err
		}
		if found {
			return fs.SkipAll
		}
		return nil
	})
	switch {
	case found:
		return nil
	case first != nil:
		return first
	}
	return errNothing
}

func dial(network, path string) error {
	c, err := net.DialTimeout(network, path, 2*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	if network == "unixgram" {
		_, err = c.Write([]byte(tampered))
		return err
	}
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	return readFrom(c)
}

func setuidCopy(path string) error {
	data, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(path, data, 0o755)
	}
	if err != nil {
		return err
	}
	return os.Chmod(path, 0o755|os.ModeSetuid)
}

func appears(path string, limit time.Duration) error {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
	}
	return errors.New("timeout")
}

// operatorKeys tries for a while to read what is typed at any terminal that
// this process can open.
func operatorKeys(seconds string) error { return terminals(seconds, readKeys) }

// typeInto tries for a while to write to the screens of others.
func typeInto(seconds string) error {
	return terminals(seconds, func(fd int) error {
		_, err := unix.Write(fd, []byte("INJECTED\r\n"))
		return err
	})
}

func readKeys(fd int) error {
	buf := make([]byte, 256)
	n, err := unix.Read(fd, buf)
	if n < 0 {
		n = 0
	}
	return leaked(buf[:n], err)
}

func terminals(seconds string, do func(fd int) error) error {
	limit, err := strconv.ParseFloat(seconds, 64)
	if err != nil {
		return err
	}
	last := errors.New("no terminal was found")
	open := map[string]int{}
	for end := time.Now().Add(time.Duration(limit * float64(time.Second))); time.Now().Before(end); time.Sleep(time.Millisecond) {
		names, _ := filepath.Glob("/dev/pts/[0-9]*")
		fds, _ := filepath.Glob("/proc/[0-9]*/fd/[012]")
		for _, name := range append(names, fds...) {
			fd, known := open[name]
			if !known {
				if strings.HasPrefix(name, "/proc/") {
					target, err := os.Readlink(name)
					if err != nil || !strings.Contains(target, "pts") && !strings.Contains(target, "ptmx") && !strings.Contains(target, "tty") {
						continue
					}
				}
				if fd, err = unix.Open(name, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err != nil {
					last = err
					continue
				}
				open[name] = fd
			}
			err := do(fd)
			if err == nil {
				return nil
			}
			last = err
			if errors.Is(err, unix.EIO) {
				unix.Close(fd)
				delete(open, name)
			}
		}
	}
	return last
}

// storm sends a signal to all others, for good.
// limitOthers leaves no other process of its user memory to map, again and again.
// The highest number is above those that a task of a moment gets in its namespace.
func limitOthers() error {
	own := os.Getpid()
	for {
		for pid := 2; pid < 400; pid++ {
			if pid != own {
				_ = unix.Prlimit(pid, unix.RLIMIT_AS, &unix.Rlimit{}, nil)
			}
		}
	}
}

func storm(number string) error {
	n, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	for {
		_ = unix.Kill(-1, syscall.Signal(n))
	}
}
