// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package goldentest compares what is written for later versions with files of each version.
package goldentest

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the files of a version that has none yet")

// Versions are those that are read, as executor has them.
type Versions struct{ Oldest, Current int }

// Check checks what records are written as, by the name of a file of it. Those of the
// current version are to be the files of testdata/records/vN, byte for byte, and read is
// to take the files of every version that is promised.
func (v Versions) Check(t *testing.T, written map[string][]byte, read func(t *testing.T, version int, name string, content []byte)) {
	t.Helper()
	for version := v.Oldest; version <= v.Current; version++ {
		dir := filepath.Join("testdata", "records", fmt.Sprintf("v%d", version))
		if version == v.Current {
			current(t, dir, written)
		}
		files, err := os.ReadDir(dir)
		if err != nil || len(files) == 0 {
			t.Errorf("version %d: %d files, %v: it is promised to be read, see executor.RecordVersion", version, len(files), err)
		}
		for _, f := range files {
			content, err := os.ReadFile(filepath.Join(dir, f.Name()))
			if err != nil {
				t.Fatal(err)
			}
			read(t, version, f.Name(), content)
		}
	}
}

func current(t *testing.T, dir string, written map[string][]byte) {
	t.Helper()
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) && *update {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, content := range written {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, content := range written {
		file := filepath.Join(dir, name)
		want, err := os.ReadFile(file)
		if err != nil {
			t.Errorf("%v: go test -update writes the files of a version that has none", err)
		} else if string(content) != string(want) {
			t.Errorf("%s is written as\n%s\nand was before:\n%s\nEarlier plugins do not know that: count executor.RecordVersion up, and write its files with go test -update", file, content, want)
		}
	}
}

// Fill gives every member of what v points to a value that is not its zero, always the
// same: so one that is added shows in what is written.
func Fill(v any) { fill(reflect.ValueOf(v).Elem(), "x") }

func fill(v reflect.Value, name string) {
	const number = 7
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), name)
	case reflect.Struct:
		if _, ok := v.Interface().(time.Time); ok {
			v.Set(reflect.ValueOf(time.Date(2026, 11, 27, 12, 30, 45, 123456789, time.UTC)))
			return
		}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				fill(v.Field(i), f.Name)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), name)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, name)
		fill(value, name)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString(name)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(number)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		v.SetUint(number)
	default:
		panic(fmt.Sprintf("goldentest: %s has the type %v: say how it is filled", name, v.Type()))
	}
}
