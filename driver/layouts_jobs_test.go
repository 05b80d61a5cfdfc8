// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/client/allocdir"
	"github.com/hashicorp/nomad/client/lib/cgroupslib"
	"github.com/hashicorp/nomad/client/logmon"
	"github.com/hashicorp/nomad/client/taskenv"
	"github.com/hashicorp/nomad/helper/uuid"
	"github.com/hashicorp/nomad/nomad/mock"
	"github.com/hashicorp/nomad/nomad/structs"
	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/hashicorp/nomad/plugins/drivers/fsisolation"
	"github.com/hashicorp/nomad/plugins/drivers/testutils"

	"github.com/burin-labs/nomad-driver-harn/policy"
)

// A layoutJob is what people run, on whatever host.
type layoutJob struct {
	name   string
	policy *policy.Policy
	script string
	want   string // all that it prints
	mounts []*drivers.MountConfig
	// session is run beside the script. Then want is what the session prints.
	session string
}

// narrow lets a task write to its local directory, without network.
var narrow = &policy.Policy{WorkspaceRoots: []string{"local"}, SideEffectLevel: "process_exec"}

var jobs = []layoutJob{
	{
		name: "programs",
		script: `printf '#!/usr/bin/env sh\necho by env\n' > local/a; printf '#!/bin/sh\necho by sh\n' > local/b
			chmod +x local/a local/b; ./local/a; local/b; sh -c 'echo by name'`,
		want: "by env\nby sh\nby name\n",
	},
	{
		name:   "where it stands",
		script: `echo x > greeting && cat greeting; ls | tr '\n' ' '; cd local && echo y > f && cat ../local/f; cd "$HOME" && touch here && echo home`,
		want:   "x\nalloc greeting local private secrets tmp y\nhome\n",
	},
	{
		name: "directories of Nomad",
		script: `for d in "$NOMAD_TASK_DIR" "$NOMAD_ALLOC_DIR/data" "$NOMAD_SECRETS_DIR" /local /alloc/data /secrets; do
				cd "$d" && touch probe && ls probe; done
			cd "$NOMAD_TASK_DIR/.." && ls local /alloc/data`,
		want: "probe\nprobe\nprobe\nprobe\nprobe\nprobe\n/alloc/data:\nprobe\n\nlocal:\nprobe\n",
	},
	{
		name: "a narrow policy", policy: narrow,
		script: `test "$PWD" -ef "$NOMAD_TASK_DIR/.." && echo stands; cd "$NOMAD_TASK_DIR" && touch f && ls; cd /local && ls
			ls "$NOMAD_SECRETS_DIR"/* /secrets/* 2> /dev/null || echo no more; cat /etc/ssl/certs/site.pem`,
		want: "stands\nf\nf\nno more\n" + certificate,
	},
	{
		name: "places to write",
		script: `for d in /tmp /var/tmp /run /var/run /dev/shm; do f=$(mktemp -p $d probe.XXXXXX) && rm $f && echo x > $d/probe.left && cat $d/probe.left; done
			touch /etc/probe /probe /usr/probe 2> /dev/null || echo no more`,
		want: "x\nx\nx\nx\nx\nno more\n",
	},
	{
		name:   "who it is",
		script: `whoami; id -un; id -gn; getent passwd "$USER" | cut -d: -f1,3,4; grep -c ^root: /etc/passwd`,
		want:   "nomad-80777\nnomad-80777\nnomad-80777\nnomad-80777:80777:80777\n1\n",
	},
	{
		name:   "settings of the host",
		script: `cat /etc/ssl/certs/site.pem /etc/resolv.conf; date +%Z; readlink -e /etc/localtime > /dev/null && echo zone`,
		want:   certificate + nameserver + "HRN\nzone\n",
	},
	{
		name: "roots", policy: &policy.Policy{ReadOnlyRoots: []string{"/srv/data"}, WorkspaceRoots: []string{"local", "/srv/work"}},
		script: `cat /srv/data/public; touch /srv/data/new /srv/data/public 2> /dev/null || echo read-only
			echo x > /srv/work/f && cat /srv/work/f; rm /srv/work/f; cat /srv/data.private 2> /dev/null || echo closed`,
		want: "data\nread-only\nx\nclosed\n",
	},
	{
		name: "secrets in a root", policy: &policy.Policy{ReadOnlyRoots: []string{"/etc", "/mnt", "/opt", "/srv", "/usr", "/var"}},
		script: `cat /srv/data/public
			for f in /etc/shadow /etc/ssl/private/key.pem /etc/nomad.d/agent.hcl; do cat $f "$(readlink -f $f)"; done 2> /dev/null
			for d in /opt/nomad /mnt /usr/local/etc /etc; do grep -r -l "a secret of the host" $d; done 2> /dev/null; echo done`,
		want: "data\ndone\n",
	},
	{
		name: "a volume",
		mounts: []*drivers.MountConfig{
			{HostPath: "/srv/volume", TaskPath: "/volume/deep", Readonly: true},
			{HostPath: "/srv/volume", TaskPath: "/etc/volume", Readonly: true},
			{HostPath: "/srv/volume", TaskPath: "local/volume"},
		},
		script: `cat /volume/deep/f /etc/volume/f local/volume/f; touch /volume/deep/g 2> /dev/null || echo read-only`,
		want:   "of a volume\nof a volume\nof a volume\nread-only\n",
	},
	{
		name:   "a session",
		script: `echo $$ > local/pid; exec -a served sleep 1000`,
		session: `cd "$NOMAD_TASK_DIR"; until ps -ef | grep -q '[s]erved'; do sleep 0.02; done
			whoami; test -e /proc/$(cat pid) && echo seen; cat /etc/shadow /etc/nomad.d/agent.hcl 2> /dev/null; cat /etc/ssl/certs/site.pem`,
		want: "nomad-80777\nseen\n" + certificate,
	},
}

// nomadClient does what a Nomad client does for a task, in directories that the
// operator chooses.
type nomadClient struct {
	*harness
	data, mounts string
	path         string
}

// init makes the client's directories.
func (n *nomadClient) init() {
	n.t.Helper()
	n.data = cmp.Or(n.data, "/var/lib/nomad")
	n.mounts = cmp.Or(n.mounts, n.data+"/alloc_mounts")
	for _, dir := range []string{n.data + "/client", n.data + "/alloc", n.mounts} {
		check(n.t, os.MkdirAll(dir, 0o755))
	}
	check(n.t, os.WriteFile(n.data+"/client/state.db", nil, 0o600))
}

func (n *nomadClient) run(t *testing.T, j *layoutJob, refusal string) {
	cfg := n.task(t, TaskConfig{Command: "bash", Args: []string{"-c", j.script}, Policy: j.policy})
	cfg.Mounts = j.mounts
	_, _, err := n.driver.StartTask(cfg)
	if refusal != "" {
		wantError(t, j.name, err, refusal)
		return
	}
	check(t, err)
	t.Cleanup(func() { _ = n.driver.DestroyTask(cfg.ID, true) })
	if j.session != "" {
		result, err := n.driver.ExecTask(cfg.ID, []string{"bash", "-c", j.session}, 20*time.Second)
		if err != nil || string(result.Stdout) != j.want {
			t.Errorf("the session: %v, %+v\nwant\n%s", err, result, j.want)
		}
		return
	}
	n.wait(cfg.ID)
	text := func(stream string) string {
		text, _ := os.ReadFile(filepath.Join(cfg.TaskDir().LogDir, "t."+stream+".0"))
		return string(text)
	}
	var out string
	for range 300 { // logmon writes it a little later
		if out = text("stdout"); out == j.want {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("it printed\n%s\nwant\n%s\nstderr:\n%s", out, j.want, text("stderr"))
}

// task prepares a task of a dynamic user.
func (n *nomadClient) task(t *testing.T, config TaskConfig) *drivers.TaskConfig {
	t.Helper()
	cfg := &drivers.TaskConfig{AllocID: uuid.Generate(), Name: "t", JobName: "job", User: "nomad-80777", Env: map[string]string{}}
	if n.path != "" {
		cfg.Env["PATH"] = n.path
	}
	cfg.ID = cfg.AllocID + "/t/" + uuid.Short()
	life := cgroupslib.Factory(cfg.AllocID, cfg.Name, false)
	check(t, life.Setup())
	t.Cleanup(func() { _ = life.Teardown() })
	cfg.Resources = &drivers.Resources{
		NomadResources: &structs.AllocatedTaskResources{},
		LinuxResources: &drivers.LinuxResources{CpusetCgroupPath: cgroupslib.LinuxResourcesPath(cfg.AllocID, cfg.Name, false)},
	}
	check(t, cfg.EncodeConcreteDriverConfig(&config))

	logger := testLogger(t)
	alloc := allocdir.NewAllocDir(logger, n.data+"/alloc", n.mounts, cfg.AllocID)
	check(t, alloc.Build())
	t.Cleanup(func() { _ = alloc.Destroy() })
	cfg.AllocDir = alloc.AllocDir
	task := &structs.Task{Name: cfg.Name, Env: cfg.Env}
	dir := alloc.NewTaskDir(task)
	check(t, dir.Build(fsisolation.Unveil, nil, cfg.User))
	mocked := mock.Alloc()
	mocked.ID = cfg.AllocID
	builder := taskenv.NewBuilder(mock.Node(), mocked, task, "global")
	testutils.SetEnvvars(builder, fsisolation.Unveil, dir)
	for name, value := range builder.Build().Map() {
		if strings.HasPrefix(name, "NOMAD_") {
			cfg.Env[name] = value
		}
	}
	logs := logmon.NewLogMon(logger)
	cfg.StdoutPath, cfg.StderrPath = filepath.Join(dir.LogDir, ".t.stdout.fifo"), filepath.Join(dir.LogDir, ".t.stderr.fifo")
	check(t, logs.Start(&logmon.LogConfig{
		LogDir: dir.LogDir, StdoutLogFile: "t.stdout", StderrLogFile: "t.stderr",
		StdoutFifo: cfg.StdoutPath, StderrFifo: cfg.StderrPath, MaxFiles: 2, MaxFileSizeMB: 1,
	}))
	t.Cleanup(func() { _ = logs.Stop() })
	return cfg
}
