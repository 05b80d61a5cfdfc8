// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/nomad/plugins/base"
	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/hashicorp/nomad/plugins/shared/hclspec"

	"github.com/burin-labs/nomad-driver-harn/egress/forward"
	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/internal/goldentest"
	"github.com/burin-labs/nomad-driver-harn/sandbox"
)

// What was recorded by any version that is promised is read, and nothing is recorded in
// another way than this version's files in testdata say: the record of the owner, what
// Nomad stores, what a forwarder has said while no plugin listened, and names.
func TestRecordsOfAllVersions(t *testing.T) {
	const alloc, task = "01234567-89ab-cdef-0123-456789abcdef", "web"
	id := alloc + "/" + task + "/89abcdef"
	var o owner
	goldentest.Fill(&o)
	o.Version, o.ID, o.AllocID, o.Task, o.AllocDir = handleVersion, id, alloc, task, "/alloc/"+alloc
	var e forward.Event
	goldentest.Fill(&e)
	handle := drivers.NewTaskHandle(handleVersion)
	if err := handle.SetDriverState(&o.State); err != nil {
		t.Fatal(err)
	}
	names := fmt.Sprintf("directory of task %s: %s\negress events: %s\ncopies of the host's files: %s\n",
		id, recordsDir("/state", alloc, task, id), egressPipe, sandbox.HostFilesDir("/state"))
	options := typedOptions("", taskConfigSpec)
	slices.Sort(options)
	written := map[string][]byte{
		"owner": indented(t, o), "egress": indented(t, e), "handle": []byte(hex.Dump(handle.DriverState)), "names": []byte(names),
		// Nomad ends a running task whose job has an option that the plugin does not know.
		"options": []byte(strings.Join(options, "\n") + "\n"),
	}
	goldentest.Versions{Oldest: executor.OldestVersion, Current: executor.RecordVersion}.Check(t, written, func(t *testing.T, version int, name string, content []byte) {
		var got, want any
		var err error
		switch name {
		case "owner":
			var read owner
			dir := filepath.Join(t.TempDir(), "records")
			if err = os.Mkdir(dir, 0o700); err == nil {
				err = os.WriteFile(filepath.Join(dir, "owner"), content, 0o600)
			}
			if err == nil {
				err = executor.ReadOwner(dir, &read)
			}
			got, want = read, o
		case "handle":
			var read TaskState
			err = base.MsgPackDecode(undump(t, content), &read)
			got, want = read, o.State
		case "egress":
			var read forward.Event
			err = json.Unmarshal(content, &read)
			got, want = read, e
		case "options":
			for option := range strings.Lines(string(content)) {
				if option = strings.TrimSpace(option); !slices.Contains(options, option) {
					t.Errorf("version %d: tasks whose jobs have the option %s are ended by an upgrade: this plugin does not know it", version, option)
				}
			}
		}
		if err != nil {
			t.Errorf("version %d: %s: %v", version, name, err)
		} else if version == handleVersion && !reflect.DeepEqual(got, want) {
			t.Errorf("%s is read as\n%+v, and was\n%+v", name, got, want)
		}
	})
}

// typedOptions are the names of a schema's options, as NAME or BLOCK.NAME, with their types.
func typedOptions(prefix string, spec *hclspec.Spec) (names []string) {
	switch block := spec.Block.(type) {
	case *hclspec.Spec_Object:
		for name, member := range block.Object.Attributes {
			names = append(names, typedOptions(strings.TrimPrefix(prefix+"."+name, "."), member)...)
		}
	case *hclspec.Spec_BlockValue:
		return typedOptions(prefix, block.BlockValue.Nested)
	case *hclspec.Spec_Attr:
		names = append(names, prefix+" "+block.Attr.Type)
	case *hclspec.Spec_BlockAttrs:
		names = append(names, prefix+" { "+block.BlockAttrs.Type+" }")
	default:
		panic(fmt.Sprintf("%s: a schema of the kind %T: say what its names are", prefix, block))
	}
	return names
}

func indented(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(text, '\n')
}

// undump is what hex.Dump was given.
func undump(t *testing.T, dump []byte) (data []byte) {
	t.Helper()
	for line := range strings.Lines(string(dump)) {
		const address, hexes = 10, 58
		bytes, err := hex.DecodeString(strings.ReplaceAll(line[address:hexes], " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		data = append(data, bytes...)
	}
	return data
}

// A task of a newer version runs on, whatever Nomad asks an earlier plugin to do with it:
// the agent does not start with that plugin, and if it runs already, nothing is recovered,
// destroyed, swept, or started beside it. Back under the newer version, the task is
// recovered.
func TestTaskOfANewerVersion(t *testing.T) {
	h := newHarness(t, nil)
	task := h.task(sh("exec sleep 1000"))
	handle := h.start(task)
	var state TaskState
	if err := handle.GetDriverState(&state); err != nil {
		t.Fatal(err)
	}
	started, _ := h.driver.tasks.get(task.ID)

	// What a newer version would have recorded.
	record := filepath.Join(state.StateDir, "owner")
	before, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(before, &members); err != nil {
		t.Fatal(err)
	}
	const next = executor.RecordVersion + 1
	members["Version"], members["More"] = next, "than this version knows"
	after, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(record, after, 0o600); err != nil {
		t.Fatal(err)
	}
	handle.Version = next

	refused := func(what string, err error) {
		t.Helper()
		said := fmt.Sprintf("is of version %d, this plugin reads versions %d to %d", next, executor.OldestVersion, executor.RecordVersion)
		if err == nil || !strings.Contains(err.Error(), said) {
			t.Errorf("%s: %v, expected an error that says: %s", what, err, said)
		}
		if !started.running() {
			t.Fatalf("%s has ended the task", what)
		}
	}
	h.connect()
	refused("starting an agent", h.driver.SetConfig(&base.Config{PluginConfig: packed(t, map[string]any{"state_dir": h.config.StateDir})}))
	refused("recovering", h.driver.RecoverTask(handle))
	refused("destroying", h.driver.DestroyTask(task.ID, true))
	again := *task
	again.ID = task.AllocID + "/t/again"
	_, _, err = h.driver.StartTask(&again)
	refused("starting anew", err)
	moved := task.AllocDir + ".moved"
	if err := os.Rename(task.AllocDir, moved); err != nil { // as if the allocation was forgotten
		t.Fatal(err)
	}
	var s sweep
	for range 3 {
		h.driver.sweep(&s)
	}
	if !started.running() {
		t.Fatal("a sweep has ended the task")
	}
	if err := os.Rename(moved, task.AllocDir); err != nil {
		t.Fatal(err)
	}

	if err := os.WriteFile(record, before, 0o600); err != nil {
		t.Fatal(err)
	}
	handle.Version = executor.RecordVersion
	if err := h.driver.SetConfig(&base.Config{PluginConfig: packed(t, map[string]any{"state_dir": h.config.StateDir})}); err != nil {
		t.Errorf("starting an agent with the newer plugin: %v", err)
	}
	if err := h.driver.RecoverTask(handle); err != nil {
		t.Errorf("recovering with the newer plugin: %v", err)
	}
	if err := h.driver.DestroyTask(task.ID, true); err != nil {
		t.Errorf("destroying with the newer plugin: %v", err)
	}
	if !errors.Is(started.task.Signal(0), executor.ErrGone) {
		t.Error("the task was not destroyed")
	}
}

func packed(t *testing.T, v any) (data []byte) {
	t.Helper()
	if err := base.MsgPackEncode(&data, v); err != nil {
		t.Fatal(err)
	}
	return data
}
