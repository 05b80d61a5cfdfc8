// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package attack

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/nomad/client/allocdir"
	"github.com/hashicorp/nomad/client/lib/cgroupslib"
	"github.com/hashicorp/nomad/client/taskenv"
	"github.com/hashicorp/nomad/helper/uuid"
	"github.com/hashicorp/nomad/nomad/mock"
	"github.com/hashicorp/nomad/nomad/structs"
	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/hashicorp/nomad/plugins/drivers/fsisolation"
	"github.com/hashicorp/nomad/plugins/drivers/testutils"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/driver"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// scene is a story under a profile, and what came of it.
type scene struct {
	*node
	t       *testing.T
	story   *story
	profile *profile
	dir     string // its own, on the host, and writable for all
	config  driver.Config
	changed bool // the driver's configuration is this scene's
	ctx     context.Context
	cancel  context.CancelFunc

	markers  map[string]string // files of the host that must stay as they are: content
	cleanups []func()
	count    int

	escapes  []string
	faults   []string // what should work and does not, or is not refused as it should be
	answers  []string // how the attacks were answered
	unproved string   // why the control has not got through
}

func (s *scene) defers(f func()) { s.cleanups = append(s.cleanups, f) }

func (s *scene) end() {
	s.cancel()
	for _, f := range slices.Backward(s.cleanups) {
		f()
	}
	if s.changed {
		s.node.configure(s.t, &s.node.config)
	}
	_ = os.RemoveAll(s.dir)
}

// configure changes the plugin's configuration, for this scene.
func (s *scene) configure(change func(*driver.Config)) {
	change(&s.config)
	s.changed = true
	s.node.configure(s.t, &s.config)
}

func (s *scene) escape(format string, args ...any) {
	s.escapes = append(s.escapes, fmt.Sprintf(format, args...))
}

func (s *scene) fault(format string, args ...any) {
	s.faults = append(s.faults, fmt.Sprintf(format, args...))
}

func (s *scene) held(answer string) { s.answers = append(s.answers, answer) }

// cell is what the story came to.
func (s *scene) cell() Cell {
	for _, path := range slices.Sorted(maps.Keys(s.markers)) {
		if data, err := os.ReadFile(path); err != nil || string(data) != s.markers[path] {
			s.escape("on the host %s is %.80q, %v", path, data, err)
		}
	}
	short := func(list []string) string {
		list = slices.Compact(slices.Sorted(slices.Values(list)))
		if len(list) > 4 {
			list = append(slices.Clone(list[:4]), fmt.Sprintf("and %d more", len(list)-4))
		}
		return strings.ReplaceAll(strings.Join(list, "; "), s.nomad.dir, "")
	}
	switch {
	case len(s.escapes) > 0:
		return Cell{Escaped, "", short(s.escapes)}
	case s.unproved != "":
		return Cell{NotApplicable, "", "its control fails: " + s.unproved}
	case len(s.faults) > 0:
		return Cell{Broken, "", short(s.faults)}
	case len(s.answers) == 0:
		return Cell{Broken, "", "nothing was tried"}
	}
	slices.Sort(s.answers)
	return Cell{Refused, strings.Join(slices.Compact(s.answers), ","), ""}
}

// path is a place in the scene's directory.
func (s *scene) path(name string) string { return filepath.Join(s.dir, name) }

// ofRoot is a place in a directory of the scene's that root alone can write to: a link
// there is followed.
func (s *scene) ofRoot(name string) string {
	dir := filepath.Join(s.nomad.dir, "root", filepath.Base(s.dir))
	check(s.t, os.MkdirAll(dir, 0o755))
	return filepath.Join(dir, name)
}

// mkdir makes a directory that belongs to the tasks' user.
func (s *scene) mkdir(name string) string {
	path := s.path(name)
	if filepath.IsAbs(name) {
		path = name
	}
	check(s.t, os.MkdirAll(path, 0o777))
	check(s.t, os.Chmod(path, 0o777))
	check(s.t, os.Chown(path, taskUID, taskUID))
	return path
}

// plant makes a file with a secret, which every user may read and write as far
// as permissions go.
func (s *scene) plant(path string) string {
	s.mkdir(filepath.Dir(path))
	s.put(path)
	return path
}

// put is plant in a directory that there is.
func (s *scene) put(path string) {
	ownFile(s.t, path, secretText)
}

// guard is plant; the file must stay as it is.
func (s *scene) guard(path string) string {
	s.plant(path)
	s.markers[path] = secretText
	return path
}

func (s *scene) link(target, path string) string {
	check(s.t, os.Symlink(target, path))
	return path
}

// replace puts a new file with the secret in the place of another, as mv(1),
// sed -i and Nomad's templates do.
func (s *scene) replace(path string) {
	temporary := path + ".new"
	ownFile(s.t, temporary, secretText)
	check(s.t, os.Rename(temporary, path))
}

// company is an allocation with a task, prepared as the client does.
type company struct {
	s       *scene
	name    string // of the task
	user    string
	alloc   string
	dir     *allocdir.AllocDir
	taskDir *allocdir.TaskDir
	seen    string // the task's directory as it sees it
	env     map[string]string
	cgroup  string
	mounts  []*drivers.MountConfig
	stdout  string
}

// company makes an allocation.
func (s *scene) company(name, user string) *company {
	s.t.Helper()
	c := &company{s: s, name: name, user: user, alloc: uuid.Generate(), stdout: os.DevNull}
	c.dir = allocdir.NewAllocDir(hclog.NewNullLogger(), s.alloc, s.mounts, c.alloc)
	check(s.t, c.dir.Build())
	s.defers(func() { _ = c.dir.Destroy() })
	c.build()
	return c
}

// resident is an allocation that scenes share which leave nothing in it.
func (s *scene) resident() *company {
	user := s.profile.user
	if s.residents[user] == nil {
		s.residents[user] = s.residence.company("attack", user)
	}
	c := *s.residents[user]
	c.s = s
	return &c
}

// sibling adds a task of another name to the same allocation.
func (c *company) sibling(name, user string) *company {
	other := &company{s: c.s, name: name, user: user, alloc: c.alloc, dir: c.dir, stdout: os.DevNull}
	other.build()
	return other
}

func (c *company) build() {
	t := c.s.t
	t.Helper()
	task := &structs.Task{Name: c.name, Env: map[string]string{}}
	c.taskDir = c.dir.NewTaskDir(task)
	check(t, c.taskDir.Build(fsisolation.Unveil, nil, c.user))
	// The attacker's own: permissions do not keep it from anything in there.
	for _, dir := range []string{c.taskDir.Dir, c.taskDir.LocalDir, c.taskDir.SharedAllocDir, c.taskDir.LogDir} {
		check(t, os.Chmod(dir, 0o777))
	}
	c.seen = c.taskDir.MountsTaskDir
	alloc := mock.Alloc()
	alloc.ID = c.alloc
	builder := taskenv.NewBuilder(mock.Node(), alloc, task, "global")
	testutils.SetEnvvars(builder, fsisolation.Unveil, c.taskDir)
	c.env = builder.Build().Map()
	life := cgroupslib.Factory(c.alloc, c.name, false)
	check(t, life.Setup())
	c.s.defers(func() { _ = life.Teardown() })
	c.cgroup = cgroupslib.LinuxResourcesPath(c.alloc, c.name, false)
}

// local is a path in the task's local directory on the host, real one in the
// task's view.
func (c *company) local(name string) string { return filepath.Join(c.taskDir.LocalDir, name) }
func (c *company) real(name string) string  { return filepath.Join(c.seen, name) }
func (c *company) shared(name string) string {
	return filepath.Join(c.taskDir.SharedAllocDir, name)
}

// task is a start of the company's task.
func (c *company) task(config driver.TaskConfig) *drivers.TaskConfig {
	t := c.s.t
	t.Helper()
	cfg := &drivers.TaskConfig{
		ID: c.alloc + "/" + c.name + "/" + uuid.Short(), AllocID: c.alloc, Name: c.name, JobName: "attack", User: c.user,
		Env: maps.Clone(c.env), AllocDir: c.dir.AllocDir, StdoutPath: c.stdout, StderrPath: c.stdout, Mounts: c.mounts,
		Resources: &drivers.Resources{
			NomadResources: &structs.AllocatedTaskResources{},
			LinuxResources: &drivers.LinuxResources{CpusetCgroupPath: c.cgroup},
		},
	}
	check(t, cfg.EncodeConcreteDriverConfig(&config))
	return cfg
}

// policy is that of the scene's profile.
func (s *scene) policy(workspace, readOnly []string) *policy.Policy {
	p := s.profile.policy(workspace, readOnly)
	if s.story.network {
		p.SideEffectLevel = "network"
	}
	return p
}

// startLimit is for StartTask, which waits for nothing that a task or a job's
// author could delay.
const startLimit = 20 * time.Second

// start starts a task; it is destroyed at the end of the scene.
func (s *scene) start(cfg *drivers.TaskConfig) error {
	done := make(chan error, 1)
	go func() {
		_, _, err := s.StartTask(cfg)
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil {
			s.defers(func() { _ = s.DestroyTask(cfg.ID, true) })
		}
		return err
	case <-time.After(startLimit):
		s.escape("StartTask has not returned after %v", startLimit)
		return fmt.Errorf("StartTask hangs")
	}
}

// probe is a task that carries operations out: those of the suite's probe. It
// must not get through with one that begins with !; one that begins with + is
// admitted and must work.
type probe struct {
	s       *scene
	id      string
	file    string
	refused error // at its start
}

// asked is a task, with the policy and options of config, that does operations.
func (c *company) asked(config driver.TaskConfig, operations ...string) (*drivers.TaskConfig, string) {
	// In a directory of their own: a read-only file beside them would keep the task
	// from making any.
	name := "answers/" + uuid.Short()
	if info, err := os.Lstat(c.local("")); err != nil || !info.IsDir() || os.MkdirAll(c.local("answers"), 0o777) != nil || os.Chmod(c.local("answers"), 0o777) != nil {
		name = "answers-" + uuid.Short()
	}
	if config.Policy == nil {
		config.Policy = c.s.policy(nil, nil)
	}
	if p := config.Policy; len(p.WorkspaceRoots) > 0 && !slices.Contains(p.WorkspaceRoots, "local") && !slices.Contains(p.WorkspaceRoots, c.env["NOMAD_TASK_DIR"]) {
		p.WorkspaceRoots = append(slices.Clone(p.WorkspaceRoots), "local")
	}
	if config.Command == "" {
		config.Command = c.s.suite
		config.Args = append([]string{"probe", filepath.Join(c.env["NOMAD_TASK_DIR"], name)}, operations...)
	}
	return c.task(config), c.local(name)
}

// begin starts it.
func (c *company) begin(config driver.TaskConfig, operations ...string) *probe {
	cfg, file := c.asked(config, operations...)
	return c.s.beginTask(cfg, file)
}

func (s *scene) beginTask(cfg *drivers.TaskConfig, file string) *probe {
	return &probe{s: s, id: cfg.ID, file: file, refused: s.start(cfg)}
}

// probe starts it, waits for its end, and judges.
func (c *company) probe(config driver.TaskConfig, operations ...string) *probe {
	return c.begin(config, operations...).finish()
}

type probed struct {
	Operation, Answer, Detail string
}

// finish waits for the task's end and judges what it got through with.
func (p *probe) finish() *probe {
	if p.refused != nil {
		return p
	}
	exit, err := p.s.wait(p.s.t, p.id, 30*time.Second)
	if err != nil {
		p.s.fault("the task does not end: %v", err)
	}
	answers := p.answers()
	if len(answers) == 0 {
		p.s.fault("the task has left no answers, %+v", exit)
	}
	for _, a := range answers {
		switch {
		case a.Operation[0] == '!' && a.Answer == succeeded:
			p.s.escape("%s", a.Operation[1:])
		case a.Operation[0] == '!':
			p.s.held(a.Answer)
		case a.Operation[0] == '+' && a.Answer != succeeded:
			p.s.fault("%s, which the policy admits: %s %s", a.Operation[1:], a.Answer, a.Detail)
		}
	}
	_ = p.s.DestroyTask(p.id, true)
	return p
}

// end waits for the task's end, whatever came of it.
func (p *probe) end() {
	if p.refused == nil {
		if _, err := p.s.wait(p.s.t, p.id, startLimit); err != nil {
			p.s.fault("the task does not end: %v", err)
		}
	}
}

func (p *probe) answers() (answers []probed) {
	data, err := os.ReadFile(p.file)
	if err != nil {
		return nil
	}
	scanner := bufio.NewScanner(bytes.NewReader(data))
	for scanner.Scan() {
		var a probed
		if json.Unmarshal(scanner.Bytes(), &a) == nil && a.Operation != "" {
			answers = append(answers, a)
		}
	}
	return answers
}

// until waits until the task has carried so many operations out.
func (p *probe) until(count int) bool {
	for range 5000 {
		if p.refused != nil {
			return false
		}
		if len(p.answers()) >= count {
			return true
		}
		time.Sleep(2 * time.Millisecond)
	}
	p.s.fault("the task has not come to operation %d", count)
	return false
}

// mustStart says that a task which the policy admits was refused.
func (p *probe) mustStart() *probe {
	if p.refused != nil {
		p.s.fault("an admitted task is refused: %v", p.refused)
	}
	return p
}

// mayBeRefused takes a refusal for an answer, if it says what is wrong: the
// field, and one of the places, in words that a person can read.
func (p *probe) mayBeRefused(field string, places ...string) {
	p.s.refusal(p.refused, field, places...)
}

// mustBeRefused: starting, even without getting through, is not what is
// promised.
func (p *probe) mustBeRefused(field string, places ...string) {
	if p.refused == nil {
		p.s.fault("%s, which is to be refused, started: %s", field, strings.Join(places, ", "))
	}
	p.mayBeRefused(field, places...)
}

func (s *scene) refusal(err error, field string, places ...string) {
	if err == nil {
		return
	}
	s.held("refused")
	text := err.Error()
	s.printable("the refusal", text)
	if !strings.Contains(text, field) {
		s.fault("the refusal does not name the field %s: %s", field, text)
	}
	if len(places) > 0 && !slices.ContainsFunc(places, func(place string) bool { return strings.Contains(text, place) }) {
		s.fault("the refusal does not name %s: %s", strings.Join(places, " or "), text)
	}
}

// printable: what others have chosen must not reach a person's terminal, or
// the lines of a log, as it is.
func (s *scene) printable(what, text string) {
	if i := strings.IndexFunc(text, func(r rune) bool { return r != ' ' && !unicode.IsPrint(r) || r == unicode.ReplacementChar }); i >= 0 {
		s.escape("%s holds %q", what, text[max(0, i-20):min(len(text), i+20)])
	}
}

// control carries operations out on the host, as the task's user: those that
// begin with ! must get through there. What they change is restored.
func (s *scene) control(operations ...string) { s.controlAs(s.profile.user, operations...) }

func (s *scene) controlAs(user string, operations ...string) {
	s.t.Helper()
	if len(operations) == 0 {
		return
	}
	s.count++
	file := s.path(fmt.Sprintf("control-%d", s.count))
	cmd := exec.CommandContext(s.ctx, s.suite, append([]string{"probe", file}, operations...)...)
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if user != "root" {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: taskUID, Gid: taskUID}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("the control: %v\n%s", err, out)
	}
	p := &probe{s: s, file: file}
	for _, a := range p.answers() {
		if a.Operation[0] == '!' && a.Answer != succeeded {
			s.unproved = cmp.Or(s.unproved, fmt.Sprintf("%s: %s %s", a.Operation[1:], a.Answer, a.Detail))
		}
	}
	for path := range s.markers {
		s.put(path)
	}
}

// bystander starts a process of the tasks' user on the host, with secrets. It
// returns its PID, and a function that tells whether it is still alive.
func (s *scene) bystander(change func(*exec.Cmd)) (int, func() bool) {
	dir := s.mkdir("bystander")
	s.plant(dir + "/secret")
	cmd := exec.Command("/bin/sleep", "1000")
	cmd.Dir = dir
	cmd.Env = []string{"SECRET=" + secretText}
	in, err := os.Open(dir + "/secret")
	check(s.t, err)
	defer in.Close()
	cmd.Stdin = in
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL, Credential: &syscall.Credential{Uid: taskUID, Gid: taskUID}}
	if change != nil {
		change(cmd)
	}
	check(s.t, cmd.Start())
	s.defers(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	stat := fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid)
	return cmd.Process.Pid, func() bool {
		data, err := os.ReadFile(stat)
		_, rest, _ := strings.Cut(string(data), ") ")
		return err == nil && !strings.HasPrefix(rest, "Z")
	}
}
