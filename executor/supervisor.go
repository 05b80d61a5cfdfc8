// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

// Descriptors of a supervisor, beside those of [inherited]. 0, 1 and 2 are
// /dev/null: it writes nowhere that a reader's death could end it. In the foreground, 0
// is the task's.
const (
	pluginFD = 3 // a socket: its instructions come from there, and one status goes there, as JSON
	stateFD  = 4 // the task's directory of records
	stdoutFD = 5 // the task's; or the directory of its logs
	stderrFD = 6
)

// fixedFDs are those that come first with the instructions. Until then they are
// /dev/null, so that nothing else has their numbers.
var fixedFDs = [...]int{stateFD, 0, stdoutFD, stderrFD}

// status is what a supervisor says once its task executes, or cannot.
type status struct {
	Error   string  `json:"error,omitempty"`
	Started started `json:"started"`
}

// supervisor is the main function of a supervisor. It returns, and with that
// ends the PID namespace, when the task's first process has ended.
func supervisor() int {
	plugin := os.NewFile(pluginFD, "plugin")
	s, err := begin(plugin)
	if errors.Is(err, errNoInstructions) {
		return 1 // nobody is there to be told
	}
	var st status
	if err != nil {
		st.Error = err.Error()
	} else {
		st.Started = s.started
	}
	// Nobody may be listening: the plugin can die at any time. The task goes on.
	if err == nil {
		_ = json.NewEncoder(plugin).Encode(st)
		if s.lifeline == nil {
			plugin.Close()
		}
	} else {
		// The program may execute already. Once the reason is known, nothing of it
		// is left.
		killDescendants()
		_ = json.NewEncoder(plugin).Encode(st)
		return 1
	}
	go s.signals.forward(s.first)
	if s.logs != nil {
		s.logs.collect()
	}
	if s.lifeline != nil {
		go watchLifeline(s.lifeline)
	}
	exit, err := reap(s.first.pid)
	if err != nil {
		return 1
	}
	exit.OOMKilled = s.cgroups.oomKilled()
	// In a PID namespace of its own, the kernel does so when this process ends.
	if s.logs != nil || os.Getpid() != 1 {
		killDescendants()
	}
	if s.logs != nil {
		s.logs.finish()
	}
	err = s.exit.write(exit)
	if lacksRoom(err) {
		killDescendants() // what is left of the task is not to wait for a disk
		err = s.exit.writeWithRoom(exit)
	}
	if err != nil {
		return 1
	}
	return 0
}

type supervised struct {
	first   *child
	started started
	exit    *preparedRecord
	cgroups *cgroups
	signals signalQueue
	// logs is not nil for a plan with Logs.
	logs *logCollector
	// lifeline is not nil for a task in the foreground.
	lifeline *os.File
}

// begin does all that happens before the task's program executes.
func begin(plugin *os.File) (*supervised, error) {
	s := &supervised{}
	// From the first moment: a signal must not end the supervisor.
	var err error
	if s.signals, err = openSignals(); err != nil {
		return nil, err
	}
	// Losing a supervisor is losing a task, whoever used the memory.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0)
	dumps, err := openDumpFilter()
	if err != nil {
		return nil, err
	}
	if err := undumpable(); err != nil {
		return nil, err
	}
	// Those that it was started with are not the task's.
	if err := closeOnExec(); err != nil {
		return nil, err
	}

	if hasNoTask() {
		warmUp()
	}
	plan, err := receiveInstructions(plugin)
	if err != nil {
		return nil, fmt.Errorf("reading the plan: %w", err)
	}
	// From here on, a start of this task is begun. Who gave it may be gone.
	_, _ = plugin.Write([]byte{taken})
	if err := takeID(plan.ID); err != nil {
		return nil, err
	}
	program, own, err := plan.Filters.decode()
	if err != nil {
		return nil, fmt.Errorf("reading the plan's filters: %w", err)
	}
	if err := dumps.apply(&plan.Confinement); err != nil {
		return nil, err
	}
	if plan.Foreground {
		s.lifeline = plugin
	}
	state, err := os.OpenRoot(fdPath(stateFD))
	if err != nil {
		return nil, fmt.Errorf("opening the state directory: %w", err)
	}
	defer state.Close()
	unix.Close(stateFD)
	// Nodes and files are made with the mode that is asked for: a chmod(2) by
	// name could be led elsewhere.
	unix.Umask(0)
	if s.exit, err = prepareRecord(state, exitRecord); err != nil {
		return nil, err
	}
	record, err := prepareRecord(state, startedRecord)
	if err != nil {
		return nil, err
	}
	defer record.file.Close()
	// The host's /proc knows the PIDs that the plugin knows.
	host, err := openPath("/proc")
	if err != nil {
		return nil, fmt.Errorf("opening /proc: %w", err)
	}
	defer unix.Close(host)

	if plan.Isolation.HostPID {
		// What loses its parent becomes a child of the supervisor, as it does in
		// a PID namespace of its own.
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return nil, fmt.Errorf("prctl(PR_SET_CHILD_SUBREAPER): %w", err)
		}
	}
	s.cgroups = plan.Inherited.Cgroups
	defer s.cgroups.closeJoin()
	beside, err := openCompanions(plan, host)
	if err != nil {
		return nil, err
	}
	defer beside.close()
	if err := beside.start(false); err != nil {
		return nil, err
	}
	if err := joinNetwork(plan.Inherited.Network, plan.Isolation.Network.Namespace); err != nil {
		return nil, err
	}
	if plan.Isolation.Network.Isolated && plan.Isolation.Network.Loopback {
		if err := raiseLoopback(); err != nil {
			return nil, err
		}
	}
	if err := beside.start(true); err != nil {
		return nil, err
	}
	if !plan.Isolation.Shared {
		if err := makeView(plan.Isolation, plan.Inherited.Sources); err != nil {
			return nil, err
		}
		if plan.Isolation.PrivateRoot {
			if err := checkView(&plan.Isolation); err != nil {
				return nil, err
			}
		}
	}
	std, err := s.openStdio(plan)
	if err != nil {
		return nil, err
	}
	// From now on, signals that people send are kept for the task.
	s.signals.listen()
	l := launch{
		Process: &plan.Process, Confinement: &plan.Confinement, filter: program, stdio: std,
		terminal: plan.Process.Terminal, cgroups: s.cgroups, fds: landlock.OwnProc, proc: host,
	}
	s.first, err = l.start()
	// The log's readers see its end when the task closes it: keep no copy.
	std.close()
	if err != nil {
		return nil, err
	}
	if err := s.recordStart(record, plan.Isolation.HostPID, own); err != nil {
		return nil, s.first.abandon(err)
	}
	return s, nil
}

// recordStart records what was started, and gives up what is not needed any more.
func (s *supervised) recordStart(record *preparedRecord, hostPID bool, own seccomp.Program) error {
	s.started.Process = s.first.seen
	s.started.At = time.Now()
	if err := record.write(s.started); err != nil {
		return err
	}
	// Last, since all else needs more; before anybody is told that the task
	// runs: if it fails, the task ends.
	if err := dropPrivileges(hostPID, own); err != nil {
		return fmt.Errorf("dropping the supervisor's privileges: %w", err)
	}
	return nil
}

// joinNetwork enters a network namespace, if there is one to be joined, and
// closes it.
func joinNetwork(fd int, name string) error {
	if fd == notOpen {
		return nil
	}
	defer unix.Close(fd)
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("joining network namespace %s: %w", plain.Name(name), err)
	}
	return nil
}

// raiseLoopback puts up the loopback of a new network namespace, netdevice(7). The kernel gives
// it its addresses. Nothing leads out of it.
func raiseLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening a socket for the loopback: %w", err)
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("putting up the loopback: ioctl(SIOCSIFFLAGS): %w", err)
	}
	return nil
}

// openStdio opens what the task's descriptors are to be.
func (s *supervised) openStdio(plan *instructions) (std stdio, err error) {
	if plan.Foreground {
		return foregroundStdio(), nil
	}
	if plan.Logs != nil {
		s.logs, std, err = openLogs(stdoutFD, plan.Logs)
	} else {
		std = stdio{nil, os.NewFile(stdoutFD, "stdout"), os.NewFile(stderrFD, "stderr")}
	}
	if err != nil {
		return stdio{}, err
	}
	if std[0], err = os.Open(os.DevNull); err != nil {
		return stdio{}, err
	}
	for _, f := range std[1:] {
		if err := giveStream(f, plan.Confinement.User, 0o200); err != nil {
			return stdio{}, fmt.Errorf("the task's end of its log: %w", err)
		}
	}
	return std, nil
}

// giveStream makes a FIFO or a pipe the task user's, so that it can open
// /dev/stdout; by descriptor, since a name could be a link. It can open its output
// to write only: who reads it takes lines away from the log, also from that of
// another task of the allocation with the same user.
func giveStream(f *os.File, u User, mode os.FileMode) error {
	info, err := f.Stat()
	if err != nil || info.Mode().Type() != os.ModeNamedPipe {
		return err
	}
	if err := f.Chown(int(u.UID), int(u.GID)); err != nil {
		return err
	}
	return f.Chmod(mode)
}

// readAt reads a small file of a /proc, by one read(2).
func readAt(proc int, name string) ([]byte, error) {
	fd, err := unix.Openat(proc, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("/proc/%s: %w", name, err)
	}
	defer unix.Close(fd)
	text := make([]byte, 4096)
	n, err := unix.Read(fd, text)
	if err != nil {
		return nil, fmt.Errorf("/proc/%s: %w", name, err)
	}
	return text[:n], nil
}

// signalAll signals all processes of the task.
func signalAll(sig syscall.Signal) {
	if os.Getpid() == 1 {
		// All of this PID namespace, but for this process itself.
		_ = unix.Kill(-1, sig)
		return
	}
	// In the host's PID namespace, -1 would be the host.
	for _, pid := range descendants(os.Getpid()) {
		_ = unix.Kill(pid, sig)
	}
}

// killDescendants kills what is left of a task when its first process has
// ended, and waits for its end.
func killDescendants() {
	for {
		signalAll(unix.SIGKILL)
		// Those that were orphaned, or will be, are children of this process.
		if _, err := unix.Wait4(-1, nil, 0, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return // no child is left
		}
	}
}

// reap waits for every process of the namespace that has no other parent, and
// returns when the first one has ended.
func reap(first int) (Exit, error) {
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, 0, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return Exit{}, err
		}
		if pid == first {
			return exitOf(ws), nil
		}
	}
}

func exitOf(ws unix.WaitStatus) Exit {
	exit := Exit{Code: ws.ExitStatus(), At: time.Now()}
	if ws.Signaled() {
		exit.Signal = int(ws.Signal())
		exit.Code = 128 + exit.Signal
	}
	return exit
}
