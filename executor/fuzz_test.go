// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// Whatever is in a record's file after a crash: a record, errNoRecord or an
// error, and a record that is read is one that can be written.
func FuzzReadRecord(f *testing.F) {
	for _, seed := range []string{
		"", "{}", "null", "\x00\x00", `{"code":137,"signal":9,"oom_killed":true,"at":"2026-11-24T00:00:00Z"}` + "\x00\x00\x00",
		`{"process":{"pid":1,"start":1,"boot":"x"},"at":"2026-11-24T00:00:00Z"}`,
		`{"code":99999999999999999999}`, `{"pid":-1}`, `{"confinement":{"ruleset":{"paths":[{"path":"/","access":"read_file"}]}}}`,
		`{"code":1}{"code":2}`, `[`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, exitRecord), data, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, record := range []any{new(Exit), new(started), new(Identity), new(Confinement)} {
			err := readRecord(dir, exitRecord, record)
			if err != nil {
				if len(data) == 0 && !errors.Is(err, errNoRecord) {
					t.Fatalf("an empty record: %v", err)
				}
				continue
			}
			first, err := json.Marshal(record)
			if err != nil {
				t.Fatalf("%T of %q cannot be written: %v", record, data, err)
			}
			again := reflect.New(reflect.TypeOf(record).Elem()).Interface()
			if err := json.Unmarshal(first, again); err != nil {
				t.Fatalf("%T of %q cannot be read again: %v", record, data, err)
			}
			second, err := json.Marshal(again)
			if err != nil || string(first) != string(second) {
				t.Fatalf("%T of %q: %s, then %s, %v", record, data, first, second, err)
			}
		}
	})
}
