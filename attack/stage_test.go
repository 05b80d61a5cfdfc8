// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package attack

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/nomad/plugins/drivers"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/driver"
)

const secretText = "harn-secret-of the host"

// targets are what attacks are aimed at, as environment variables without
// their prefix.
type targets map[string]string

func (s targets) environment() map[string]string {
	env := map[string]string{}
	for name, value := range s {
		env["ATTACK_"+name] = value
	}
	return env
}

// host sets up what all runs share: sockets, a process of the same user with
// secrets, another task, and descriptors that this process, the plugin, leaves
// open.
func host(t *testing.T, n *nomad, p *programs) targets {
	t.Helper()
	s := targets{
		"SHM_KEY": "0x4a524e01", "MSG_KEY": "0x4a524e02", "SEM_KEY": "0x4a524e03",
		"MQUEUE": "harn-attack", "POSIX_SHM": fmt.Sprintf("harn-attack-%d", os.Getpid()),
		"TMP_FILE": fmt.Sprintf("harn-attack-%d", os.Getpid()),
		"KEY":      fmt.Sprintf("harn-attack-%d", os.Getpid()), "KEY_SESSION": fmt.Sprintf("harn-session-%d", os.Getpid()),
		"KEY_INHERITED": inheritedKey,
		"STATE_DIR":     n.stateDir, "RACES": races(500), "CONTROL": "0",
	}
	// High numbers, which no process in a task's PID namespace comes to have.
	_ = os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte("20000"), 0)

	check(t, os.WriteFile("/tmp/"+s["TMP_FILE"], []byte(secretText), 0o666))
	t.Cleanup(func() { os.Remove("/tmp/" + s["TMP_FILE"]) })
	s["SYSTEM"] = systemDir(t)
	identities(t, p, s)
	listen(t, n, s)
	descriptors(t, s, filepath.Join(n.dir, "host"))
	hostProcess(t, n, p, s)
	victimTask(t, n, s)
	return s
}

// races is how often attackers try to win a race: few times in tests of the
// whole project, as many as HARN_ATTACK_RACES says otherwise.
func races(fallback int) string {
	if n := os.Getenv("HARN_ATTACK_RACES"); n != "" {
		return n
	}
	return strconv.Itoa(fallback)
}

// systemDir is a directory that all may write, where the system's programs
// are; a file system of its own, in this mount namespace.
func systemDir(t *testing.T) string {
	const dir = "/usr/local/src"
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("this needs the directory %s", dir)
	}
	check(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=777,size=1m"))
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// ownFile makes a file that belongs to the tasks' user.
func ownFile(t *testing.T, path, text string) {
	t.Helper()
	check(t, os.WriteFile(path, []byte(text), 0o666))
	check(t, os.Chmod(path, 0o666))
	check(t, os.Chown(path, taskUID, taskUID))
}

// identities makes copies of the suite that would run as someone else.
func identities(t *testing.T, p *programs, s targets) {
	for name, mode := range map[string]uint32{"SETUID": 0o4755, "SETGID": 0o2755, "FILECAPS": 0o755} {
		s[name] = filepath.Join(p.dir, "identity-"+strings.ToLower(name))
		data, err := os.ReadFile(p.dir + "/suite")
		check(t, err)
		check(t, os.WriteFile(s[name], data, 0o755))
		const shadow = 42
		if name == "SETGID" {
			check(t, os.Chown(s[name], 0, shadow))
		}
		check(t, unix.Chmod(s[name], mode)) // after chown, which clears the bits
	}
	capability := []byte{1, 0, 0, 2, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0} // CAP_DAC_READ_SEARCH
	if err := unix.Setxattr(s["FILECAPS"], "security.capability", capability, 0); err != nil {
		t.Logf("no file capabilities on %s: %v", p.dir, err)
	}
}

// listen has the host listen at everything that a socket can reach.
func listen(t *testing.T, n *nomad, s targets) {
	dir := filepath.Join(n.dir, "host")
	check(t, os.MkdirAll(dir, 0o777))
	check(t, os.Chmod(dir, 0o777))
	ownFile(t, dir+"/secret", secretText)
	tcp := serve(t, "tcp4", "127.0.0.1:0")
	s["TCP"] = tcp.String()
	s["TCP6"] = "none"
	if l, err := net.Listen("tcp6", "[::1]:0"); err == nil {
		s["TCP6"] = l.Addr().String()
		answer(t, l)
	}
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	check(t, err)
	t.Cleanup(func() { _ = udp.Close() })
	s["UDP"] = udp.LocalAddr().String()
	go func() {
		buf := make([]byte, 64)
		for {
			_, from, err := udp.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = udp.WriteTo([]byte(secretText), from)
		}
	}()
	s["UNIX_PATH"] = dir + "/socket"
	s["ABSTRACT"] = fmt.Sprintf("@harn-attack-%d", os.Getpid())
	serve(t, "unix", s["UNIX_PATH"])
	serve(t, "unix", s["ABSTRACT"])
	s["UNIX_DATAGRAM"], s["ABSTRACT_DATAGRAM"] = dir+"/datagram", s["ABSTRACT"]+"-datagram"
	datagrams(t, s["UNIX_DATAGRAM"])
	datagrams(t, s["ABSTRACT_DATAGRAM"])
	s["PASSING_PATH"], s["PASSING_ABSTRACT"] = dir+"/passing", s["ABSTRACT"]+"-passing"
	pass(t, s["PASSING_PATH"], dir)
	pass(t, s["PASSING_ABSTRACT"], dir)
	s["VSOCK"] = strconv.Itoa(vsock(t))
}

// serve answers every connection with the secret.
func serve(t *testing.T, network, address string) net.Addr {
	t.Helper()
	l, err := net.Listen(network, address)
	check(t, err)
	if network == "unix" && address[0] == '/' {
		check(t, os.Chmod(address, 0o777))
	}
	answer(t, l)
	return l.Addr()
}

func answer(t *testing.T, l net.Listener) {
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, secretText)
			c.Close()
		}
	}()
}

// datagrams takes whatever is sent to a UNIX socket.
func datagrams(t *testing.T, address string) {
	t.Helper()
	c, err := net.ListenPacket("unixgram", address)
	check(t, err)
	t.Cleanup(func() { _ = c.Close() })
	if address[0] == '/' {
		check(t, os.Chmod(address, 0o777))
	}
	go func() {
		buf := make([]byte, 64)
		for {
			if _, _, err := c.ReadFrom(buf); err != nil {
				return
			}
		}
	}()
}

// pass hands everyone who connects a descriptor of a directory.
func pass(t *testing.T, address, dir string) {
	t.Helper()
	l, err := net.Listen("unix", address)
	check(t, err)
	t.Cleanup(func() { l.Close() })
	if address[0] == '/' {
		check(t, os.Chmod(address, 0o777))
	}
	f, err := os.Open(dir)
	check(t, err)
	t.Cleanup(func() { f.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _, _ = c.(*net.UnixConn).WriteMsgUnix([]byte("x"), unix.UnixRights(int(f.Fd())), nil)
			c.Close()
		}
	}()
}

// vsock listens on every address of this machine, and returns the port; 0 if
// the kernel cannot.
func vsock(t *testing.T) int {
	const port = 7777
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	if unix.Bind(fd, &unix.SockaddrVM{CID: unix.VMADDR_CID_ANY, Port: port}) != nil || unix.Listen(fd, 8) != nil {
		unix.Close(fd)
		return 0
	}
	t.Cleanup(func() { unix.Close(fd) })
	go func() {
		for {
			c, _, err := unix.Accept(fd)
			if err != nil {
				return
			}
			_, _ = unix.Write(c, []byte(secretText))
			unix.Close(c)
		}
	}()
	return port
}

// descriptors leaves a directory and a connection open in this process, by
// high numbers and without close-on-exec: every child inherits them.
func descriptors(t *testing.T, s targets, dir string) {
	const dirFD, socketFD = 200, 201
	f, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	check(t, err)
	check(t, unix.Dup3(f, dirFD, 0))
	unix.Close(f)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	check(t, err)
	c, err := net.Dial("tcp4", l.Addr().String())
	check(t, err)
	other, err := l.Accept()
	check(t, err)
	l.Close()
	_, err = io.WriteString(other, secretText)
	check(t, err)
	go func() { _, _ = io.Copy(io.Discard, other) }()
	file, err := c.(*net.TCPConn).File()
	check(t, err)
	check(t, unix.Dup3(int(file.Fd()), socketFD, 0))
	file.Close()
	t.Cleanup(func() {
		c.Close()
		other.Close()
		unix.Close(dirFD)
		unix.Close(socketFD)
	})
	s["FD_DIR"], s["FD_SOCKET"] = strconv.Itoa(dirFD), strconv.Itoa(socketFD)
}

// hostProcess starts a process of the tasks' user on the host.
func hostProcess(t *testing.T, n *nomad, p *programs, s targets) {
	dir := filepath.Join(n.dir, "host")
	s["SECRET"] = dir + "/secret"
	cmd := exec.Command(p.dir+"/suite", "victim", "harn-secret-on its command line")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "SECRET=harn-secret-in its environment")
	for name, value := range s.environment() {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: taskUID, Gid: taskUID}, Pdeathsig: unix.SIGKILL}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(unix.SIGTERM)
		_ = cmd.Wait()
	})
	if err := json.NewDecoder(out).Decode(&s); err != nil {
		t.Fatalf("the host's process did not say what it has: %v", err)
	}
}

// victimTask starts another task of the same user.
func victimTask(t *testing.T, n *nomad, s targets) {
	cfg := n.task(taskUser, driver.TaskConfig{Command: "/bin/sleep", Args: []string{"100000"}}, true)
	check(t, os.WriteFile(filepath.Join(cfg.TaskDir().LocalDir, "secret"), []byte(secretText), 0o666))
	check(t, os.Chmod(cfg.TaskDir().LocalDir, 0o777))
	check(t, os.WriteFile(filepath.Join(cfg.TaskDir().SecretsDir, "secret"), []byte(secretText), 0o644))
	// So that it is the driver that keeps others out, not these permissions.
	for _, dir := range []string{cfg.AllocDir, filepath.Dir(cfg.AllocDir), cfg.TaskDir().Dir} {
		check(t, os.Chmod(dir, 0o777))
	}
	check(t, n.start(cfg))
	status, err := n.InspectTask(cfg.ID)
	check(t, err)
	s["VICTIM_PID"] = status.DriverAttributes["pid"]
	s["VICTIM_TASK_DIR"], s["VICTIM_LOCAL"], s["VICTIM_FIFO"] = cfg.TaskDir().Dir, local(cfg), cfg.StdoutPath
	s["ALLOCATIONS"] = filepath.Dir(cfg.AllocDir)
}

// place sets up what one run has of its own, and returns its targets, its
// roots and a clean-up of sockets.
func place(t *testing.T, n *nomad, cfg *drivers.TaskConfig, shared targets, dir string) targets {
	t.Helper()
	s := targets{}
	for name, value := range shared {
		s[name] = value
	}
	for name, path := range map[string]string{"OUTSIDE": "outside", "READONLY": "readonly", "SECOND": "second"} {
		s[name] = filepath.Join(dir, path)
		check(t, os.MkdirAll(s[name], 0o777))
		check(t, os.Chmod(s[name], 0o777))
		check(t, os.Chown(s[name], taskUID, taskUID))
	}
	s["SECRET"] = s["OUTSIDE"] + "/secret"
	s["SYSTEM"] = filepath.Join(shared["SYSTEM"], filepath.Base(dir))
	check(t, os.Mkdir(s["SYSTEM"], 0o777))
	check(t, os.Chmod(s["SYSTEM"], 0o777))
	ownFile(t, s["SYSTEM"]+"/file", "of the system")
	for _, name := range []string{"secret", "rename-in", "exchange", "write", "truncate", "unlink"} {
		ownFile(t, s["OUTSIDE"]+"/"+name, secretText)
	}
	check(t, os.Symlink("secret", s["OUTSIDE"]+"/link"))
	for _, name := range []string{"file", "rename", "uring", "rename-within", "whiteout", "truncate", "unlink"} {
		ownFile(t, s["READONLY"]+"/"+name, "read-only")
	}
	_ = unix.Setxattr(s["READONLY"]+"/file", "user.kept", []byte("x"), 0)
	check(t, os.Mkdir(s["READONLY"]+"/rmdir", 0o777))
	suite, err := os.ReadFile(filepath.Join(n.dir, "programs", "suite"))
	check(t, err)
	check(t, os.WriteFile(s["OUTSIDE"]+"/program", suite, 0o755))

	s["WORKSPACE"], s["LOGS"] = local(cfg), logs(cfg)
	if cfg.StdoutPath == "" {
		// The control's: not a mount of Nomad's, which nothing could be moved out of.
		s["WORKSPACE"], s["LOGS"] = filepath.Join(dir, "workspace"), cfg.TaskDir().LogDir
		check(t, os.Mkdir(s["WORKSPACE"], 0o777))
		check(t, os.Chmod(s["WORKSPACE"], 0o777))
		check(t, os.Chown(s["WORKSPACE"], taskUID, taskUID))
		for _, parent := range []string{cfg.AllocDir, filepath.Dir(cfg.AllocDir), filepath.Dir(s["LOGS"])} {
			check(t, os.Chmod(parent, 0o777))
		}
	}
	s["FIFO"] = filepath.Join(s["LOGS"], ".attack.stdout.fifo")
	if cfg.StdoutPath == "" { // the control's
		check(t, unix.Mkfifo(s["FIFO"], 0o600))
	}
	check(t, os.Chmod(cfg.TaskDir().LocalDir, 0o777))
	check(t, os.Chown(cfg.TaskDir().LocalDir, taskUID, taskUID))
	check(t, os.Chmod(cfg.TaskDir().LogDir, 0o777))
	ownFile(t, cfg.TaskDir().LogDir+"/unlink", "log")
	s["UNIX_READONLY"], s["UNIX_READONLY_DATAGRAM"] = s["READONLY"]+"/s", s["READONLY"]+"/d"
	s["UNIX_WORKSPACE"] = s["SECOND"] + "/s"
	serve(t, "unix", s["UNIX_READONLY"])
	serve(t, "unix", s["UNIX_WORKSPACE"])
	datagrams(t, s["UNIX_READONLY_DATAGRAM"])
	return s
}
