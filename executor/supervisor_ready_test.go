// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
)

// What a supervisor warms up with has one of everything that instructions hold.
func TestSomeInstructionsHaveEverything(t *testing.T) {
	var have any
	if err := json.Unmarshal([]byte(someInstructions), &have); err != nil {
		t.Fatal(err)
	}
	missing(t, "", reflect.TypeFor[instructions](), have)
	missing(t, ".inherited", reflect.TypeFor[inherited](), have.(map[string]any)["inherited"])
}

// missing reports each struct of a type that a decoded value does not reach.
func missing(t *testing.T, at string, of reflect.Type, have any) {
	switch of.Kind() {
	case reflect.Pointer:
		missing(t, at, of.Elem(), have)
	case reflect.Slice:
		if !holdsStruct(of.Elem()) {
			return
		}
		list, _ := have.([]any)
		if len(list) == 0 {
			t.Errorf("%s: no element", at)
			return
		}
		missing(t, at+"[]", of.Elem(), list[0])
	case reflect.Struct:
		object, ok := have.(map[string]any)
		if !ok {
			t.Errorf("%s: %v, want an object", at, have)
			return
		}
		for i := range of.NumField() {
			field := of.Field(i)
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			switch {
			case field.Anonymous:
				missing(t, at, field.Type, have)
			case name != "-" && name != "filter" && holdsStruct(field.Type): // a Filter is never sent
				missing(t, at+"."+name, field.Type, object[name])
			}
		}
	}
}

func holdsStruct(of reflect.Type) bool {
	switch of.Kind() {
	case reflect.Pointer, reflect.Slice:
		return of != reflect.TypeFor[*os.File]() && holdsStruct(of.Elem())
	case reflect.Struct:
		return true
	}
	return false
}
