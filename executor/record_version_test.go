// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/internal/goldentest"
	"github.com/burin-labs/nomad-driver-harn/landlock"
)

// filledRecords are a task's records, in which each member has a value.
func filledRecords() map[string]any {
	identity := func() Identity {
		return Identity{PID: 123, StartTime: 456, BootID: "01234567-89ab-cdef-0123-456789abcdef"}
	}
	var c Confinement
	goldentest.Fill(&c)
	c.Cgroups = []string{"/sys/fs/cgroup/x"}
	c.OwnCgroup = c.Cgroups[0]
	rights := landlock.NewestABI().Rights() // each by its name
	c.Ruleset.HandledFS, c.Ruleset.HandledNet, c.Ruleset.Scoped = rights.FS, rights.Net, rights.Scope
	var s started
	goldentest.Fill(&s)
	s.Process = identity()
	var e Exit
	goldentest.Fill(&e)
	supervisor := identity()
	return map[string]any{supervisorRecord: &supervisor, confinementRecord: &c, startedRecord: &s, exitRecord: &e}
}

// What was recorded by any version that is promised is read, and nothing is recorded in
// another way than this version's files in testdata say.
func TestRecordsOfAllVersions(t *testing.T) {
	records := filledRecords()
	written := map[string][]byte{}
	for name, v := range records {
		text, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		written[name] = append(text, '\n')
	}
	// What a plugin and a supervisor of another version know of each other besides.
	written["protocol"] = fmt.Appendf(nil, "records: %s %s %s %s %s, prepared with %d bytes\ncommand line of a supervisor: %s ID, and NUL bytes\nsignal for all processes: %d, by SI_QUEUE (%d), the number is the value\nusers of companions: %d plus the PID\n",
		ownerRecord, supervisorRecord, confinementRecord, startedRecord, exitRecord, preparedSize, supervisorName, relayed, siQueue, uint32(companionUsers))

	goldentest.Versions{Oldest: OldestVersion, Current: RecordVersion}.Check(t, written, func(t *testing.T, version int, name string, content []byte) {
		if name == "protocol" {
			return
		}
		want, ok := records[name]
		if !ok {
			t.Errorf("version %d has the record %q, which nobody reads", version, name)
			return
		}
		got := reflect.New(reflect.TypeOf(want).Elem()).Interface()
		if err := decodeRecord(content, got); err != nil {
			t.Errorf("version %d: %s: %v", version, name, err)
		} else if version == RecordVersion && !reflect.DeepEqual(got, want) {
			t.Errorf("%s is read as %+v, and was %+v", name, got, want)
		}
	})
}

// What a newer version has recorded of a task is not read, and the error says so.
func TestOwnerOfANewerVersion(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "records")
	type owner struct{ Version, Task int }
	for _, tc := range []struct {
		recorded string
		newer    bool
	}{
		{`{"Task":3}`, false}, // as the first were
		{fmt.Sprintf(`{"Version":%d,"Task":3}`, RecordVersion), false},
		{fmt.Sprintf(`{"Version":%d,"Task":3}`, RecordVersion+1), true},
		{fmt.Sprintf(`{"Version":%d,"Task":"three","More":[1]}`, RecordVersion+5), true}, // and whatever else is in it
	} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "owner"), []byte(tc.recorded), 0o600); err != nil {
			t.Fatal(err)
		}
		var read owner
		err := ReadOwner(dir, &read)
		var newer *NewerError
		if errors.As(err, &newer) != tc.newer || !tc.newer && (err != nil || read.Task != 3) {
			t.Errorf("%s is read as %+v, %v", tc.recorded, read, err)
		}
	}
}
