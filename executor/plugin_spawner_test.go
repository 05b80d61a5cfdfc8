// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
	"github.com/burin-labs/nomad-driver-harn/landlock"
)

// mountsOf are the mount points that a process sees, in their order.
func mountsOf(t *testing.T, process string) []string {
	t.Helper()
	list, err := os.ReadFile("/proc/" + process + "/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return mountPoints(string(list), "/")
}

// hostMounts makes mounts as those that Nomad's client makes for its tasks, each
// with a file in it, and returns where.
func (f *fixture) hostMounts(n int) []string {
	f.t.Helper()
	base := filepath.Join(filepath.Dir(f.workspace), "mounts")
	if err := os.Mkdir(base, 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", base, "tmpfs", 0, ""); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = unix.Unmount(base, unix.MNT_DETACH) })
	f.write(base+"/source/file", "of the host\n")
	var points []string
	for i := range n {
		point := fmt.Sprint(base, "/", i)
		if err := os.Mkdir(point, 0o755); err != nil {
			f.t.Fatal(err)
		}
		if err := unix.Mount(base+"/source", point, "", unix.MS_BIND, ""); err != nil {
			f.t.Fatal(err)
		}
		points = append(points, point)
	}
	return points
}

// A supervisor never has the host's mounts, however many there are: neither
// before it has its plan, nor with its task.
func TestSupervisorsAreBornWithoutTheHostsMounts(t *testing.T) {
	f := newPlainFixture(t)
	// A bind has what was mounted in its source when the task was started.
	inside := f.workspace + "/inside"
	if err := os.Mkdir(inside, 0o755); err != nil {
		t.Fatal(err)
	}
	points := f.hostMounts(2000)
	if err := unix.Mount(points[0], inside, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(inside, unix.MNT_DETACH) })
	if here := mountsOf(t, "thread-self"); len(here) < len(points) || !slices.Contains(here, inside) {
		t.Fatalf("%d mounts here, expected more than %d", len(here), len(points))
	}
	plan := f.plan("cat inside/file; while [ ! -e go ]; do sleep 0.01; done; exit 4")
	half := f.halfStart("half", plan)
	supervisor := fmt.Sprint(half.supervisor.PID)
	if got := spawnerMounts(mountsOf(t, supervisor)); !slices.Equal(got, []string{"/"}) {
		t.Errorf("at its birth a supervisor has the mounts %q", got)
	}
	entries, err := os.ReadDir("/proc/" + supervisor + "/root/tmp")
	if err != nil || len(entries) > 0 {
		t.Errorf("in its /tmp: %v, %v, expected nothing", entries, err)
	}
	task := half.finish(t, plan)
	binds := 0
	for _, process := range []string{supervisor, fmt.Sprint(task.PID())} {
		for _, point := range mountsOf(t, process) {
			if point == inside {
				binds++
			}
			if landlock.Beneath(filepath.Dir(points[0]), point) {
				t.Errorf("process %s has the mount %s, which its task's plan has not", process, point)
			}
		}
	}
	if binds != 2 {
		t.Errorf("%d of 2 processes have the mount %s in their workspace", binds, inside)
	}
	root, err := os.Stat(fmt.Sprintf("/proc/%d/root/", task.PID()))
	if err != nil {
		t.Fatal(err)
	}
	threads, err := filepath.Glob("/proc/" + supervisor + "/task/*")
	if err != nil || len(threads) == 0 {
		t.Fatalf("%q, %v", threads, err)
	}
	for _, thread := range threads {
		if its, err := os.Stat(thread + "/root/"); err != nil || !os.SameFile(root, its) {
			t.Errorf("%s has another root than the task (%v)", thread, err)
		}
	}
	// What it was started with is beneath that, without what was mounted there.
	empty := []string{"/nix"}
	for _, m := range spawnerView.Mounts {
		empty = append(empty, m.Target)
	}
	names := beneathRoot(t, half.supervisor.PID)
	for _, name := range names {
		if !slices.Contains(empty, name) {
			t.Errorf("beneath the root of the task there is %s", name)
		}
	}
	if !slices.Contains(names, "/proc") {
		t.Errorf("beneath the root of the task there are %q, expected the spawner's root", names)
	}
	f.write(f.workspace+"/go", "")
	if exit, err := task.Exit(); err != nil || exit.Code != 4 {
		t.Errorf("%+v, %v, want 4", exit, err)
	}
	if out, _ := f.run(f.plan("cat inside/file; ls " + filepath.Dir(points[0]) + " 2> /dev/null || echo hidden")); out != "of the host\nhidden\n" {
		t.Errorf("a task says %q, expected the file that is mounted in its workspace, and nothing else", out)
	}
}

// beneathRoot lists what the root of a process covers, and what is in that.
func beneathRoot(t *testing.T, pid int) (names []string) {
	t.Helper()
	proc, err := os.Open("/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Close()
	enter := func(file string) error {
		fd, err := unix.Openat(int(proc.Fd()), file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Setns(fd, unix.CLONE_NEWNS)
	}
	var failed error
	kerneltest.Thread(func() {
		failed = func() error {
			if err := unix.Unshare(unix.CLONE_FS); err != nil {
				return err
			}
			if err := enter(fmt.Sprintf("%d/ns/mnt", pid)); err != nil {
				return err
			}
			// In a copy: the task keeps its root.
			if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
				return err
			}
			if err := unix.Unmount("/", unix.MNT_DETACH); err != nil {
				return err
			}
			if err := enter("thread-self/ns/mnt"); err != nil {
				return err
			}
			return filepath.WalkDir("/", func(path string, _ fs.DirEntry, err error) error {
				if path != "/" {
					names = append(names, path)
				}
				return err
			})
		}()
	})
	if failed != nil {
		t.Fatal(failed)
	}
	return names
}

// spawnerMounts are the mounts but for /proc, in which there may be others, and
// for what a program that was built with cgo needs.
func spawnerMounts(points []string) []string {
	return slices.DeleteFunc(points, func(point string) bool {
		return strings.HasPrefix(point, "/proc") || slices.ContainsFunc([]string{"/lib", "/nix/", "/usr"}, func(prefix string) bool {
			return cgo() && strings.HasPrefix(point, prefix)
		})
	})
}

// The thread is one that nothing else runs on, and not the one by which others
// know this process.
func TestSpawnerLeavesThisProcessAlone(t *testing.T) {
	f := newPlainFixture(t)
	point := f.hostMounts(1)[0]
	var inside []string
	var thread int
	for range 3 { // it stays where it is
		before := thread
		if err := launcher.run(func() {
			thread = unix.Gettid()
			inside = mountsOf(t, "thread-self")
		}); err != nil {
			t.Fatal(err)
		}
		if before != 0 && thread != before {
			t.Errorf("it runs on the threads %d and %d", before, thread)
		}
	}
	if thread == os.Getpid() {
		t.Error("it is the first thread of this process")
	}
	if slices.Contains(inside, point) {
		t.Errorf("it has the mount %s", point)
	}
	if !slices.Contains(mountsOf(t, "thread-self"), point) {
		t.Errorf("other threads do not have the mount %s", point)
	}
}

// The sibling: a task that is to see the host's mounts does, whatever was mounted
// since the first start.
func TestHostsMountsShowWithoutAPrivateRoot(t *testing.T) {
	f := newPlainFixture(t)
	f.run(f.plan("true"))
	point := f.hostMounts(1)[0]
	plan := f.plan("cat " + point + "/file")
	plan.Confinement.Ruleset, plan.Confinement.Filter = nil, nil
	plan.Isolation = Isolation{Mounts: []Mount{{Type: Proc, Target: "/proc"}}}
	if out, exit := f.run(plan); out != "of the host\n" {
		t.Errorf("%q, %+v, expected the content of a file that is mounted on the host", out, exit)
	}
}

// What is mounted on the host while a task runs shows where the plan says so.
func TestPropagation(t *testing.T) {
	f := newPlainFixture(t)
	shared := filepath.Join(filepath.Dir(f.workspace), "shared")
	if err := os.MkdirAll(shared+"/later", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(shared, shared, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(shared, unix.MNT_DETACH) })
	if err := unix.Mount("", shared, "", unix.MS_SHARED, ""); err != nil {
		t.Fatal(err)
	}
	plan := f.plan("sleep 60")
	plan.Isolation.Mounts = append(plan.Isolation.Mounts,
		Mount{Type: Bind, Source: shared, Target: "/volume/private", Create: true},
		Mount{Type: Bind, Source: shared, Target: "/volume/propagated", Create: true, Propagate: true})
	task := f.mustStart(plan)
	if err := unix.Mount("tmpfs", shared+"/later", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(shared+"/later", unix.MNT_DETACH) })
	f.write(shared+"/later/file", "mounted later\n")
	root := fmt.Sprintf("/proc/%d/root/volume/", task.PID())
	if content, err := os.ReadFile(root + "propagated/later/file"); err != nil || string(content) != "mounted later\n" {
		t.Errorf("in a propagated bind: %q, %v", content, err)
	}
	if entries, err := os.ReadDir(root + "private/later"); err != nil || len(entries) > 0 {
		t.Errorf("in a private bind: %v, %v, expected nothing", entries, err)
	}
	// The other way, nothing shows: it is a slave of the host's mount, not its peer.
	list, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", task.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(list)) {
		if strings.Contains(line, " shared:") {
			t.Errorf("the task has a mount that shows on the host: %s", line)
		}
	}
}

// Where there are more sources than descriptors for them, a supervisor opens them
// itself.
func TestManySources(t *testing.T) {
	f := newPlainFixture(t)
	f.write(f.workspace+"/file", "shown\n")
	for _, n := range []int{mostSources - 10, 4 * mostSources} {
		plan := f.plan(fmt.Sprintf("cat /many/0 /many/%d; ls /many | wc -l", n-1))
		for i := range n {
			plan.Isolation.Mounts = append(plan.Isolation.Mounts, Mount{Type: Bind, Source: f.workspace + "/file", Target: fmt.Sprint("/many/", i), Create: true})
		}
		plan.Confinement.Ruleset = nil
		if got, want := plan.fromSpawner(), n < mostSources; got != want {
			t.Errorf("%d sources: from the spawner: %v, want %v", n, got, want)
		}
		if out, exit := f.run(plan); out != fmt.Sprintf("shown\nshown\n%d\n", n) {
			t.Errorf("%d sources: %q, %+v", n, out, exit)
		}
	}
}

// Starts that succeed and those that fail leave nothing open in this process.
func TestStartsLeaveNothingOpen(t *testing.T) {
	f := newPlainFixture(t)
	open := func() (files []string) {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			if name, err := os.Readlink("/proc/self/fd/" + entry.Name()); err == nil {
				files = append(files, name)
			}
		}
		return files
	}
	starts := func() {
		task := f.mustStart(f.plan("true"))
		if _, err := task.Exit(); err != nil {
			t.Fatal(err)
		}
		<-task.out
		if err := task.Remove(); err != nil {
			t.Fatal(err)
		}
		for name, change := range map[string]func(*Plan){
			"source":  func(p *Plan) { p.Isolation.Mounts[len(p.Isolation.Mounts)-1].Source = f.workspace + "/none" },
			"target":  func(p *Plan) { p.Isolation.Mounts[0].Target = "/none"; p.Isolation.Mounts[0].Create = false },
			"cgroup":  func(p *Plan) { p.Confinement.Cgroups = []string{"/proc", "/none"} },
			"network": func(p *Plan) { p.Isolation.Network.Namespace = "/none" },
			"program": func(p *Plan) { p.Process.Path = "/none" },
		} {
			plan := f.plan("true")
			change(plan)
			if _, err := f.start(plan); err == nil {
				t.Errorf("%s: it has started", name)
			}
		}
	}
	starts() // the first one opens what lasts
	before := open()
	starts()
	if after := open(); len(after) != len(before) {
		t.Errorf("before: %q\nafter: %q", before, after)
	}
}

// Where a device cannot be made, as in most containers, the host's shows.
func TestDevicesThatCannotBeMade(t *testing.T) {
	f := newPlainFixture(t)
	const path = "/dev/zero"
	plan := f.plan("[ -c " + path + " ] && head -c 1 " + path + " | wc -c && grep -c ' " + path + " ' /proc/self/mountinfo")
	plan.Isolation.Mounts = append(plan.Isolation.Mounts, Mount{Type: Device, Source: path, Target: path, Create: true})
	plan.Confinement.Ruleset = nil
	expect := func(can bool) {
		for i := range plan.Isolation.Mounts {
			m := &plan.Isolation.Mounts[i]
			device, err := openSource(m, func(source) bool { return true })
			if err != nil {
				t.Fatal(err)
			}
			if m.Type != Device {
				closeAll(device.Tree)
				continue
			}
			if !canMake(device) && can {
				t.Skip("devices cannot be made here, so that all other tests are of this")
			}
			madeDevices.Store(device, can)
		}
	}
	expect(true)
	before := launcher
	launcher = &spawner{}
	defer func() {
		close(launcher.work)
		launcher = before
		madeDevices.Clear()
	}()
	if err := launcher.run(func() {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_MKNOD, 0, 0, 0); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	expect(false)
	if out, exit := f.run(plan); out != "1\n1\n" {
		t.Errorf("%q, %+v, expected a byte of it, and one mount", out, exit)
	}
	// If it was expected to work, nothing starts.
	madeDevices.Clear() // this thread may still make them
	if _, err := f.start(plan); err == nil || !strings.Contains(err.Error(), "device /dev/null") {
		t.Errorf("%v, expected an error that names the device", err)
	}
}
