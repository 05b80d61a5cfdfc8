// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"reflect"
	"strings"

	"github.com/burin-labs/nomad-driver-harn/landlock"
)

// Kind is the type of a field's value.
type Kind int

// The kinds, with the type that [Field.Value] points to.
const (
	Word       Kind = iota // *string: one of a few names
	Text                   // *string: any text
	Names                  // *[]string: names that others define, too
	Paths                  // *[]string: files and directories; relative ones join the task directory
	Devices                // *[]string: paths of device nodes
	Ports                  // *[]int
	Number                 // *int
	Switch                 // *bool: absent is false
	Choice                 // **bool: absent is something of its own
	Operations             // *map[string][]string: operations by capability
	Block                  // fields of its own
)

// Type is the kind's type in HCL; "" for those that are blocks.
func (k Kind) Type() string {
	return map[Kind]string{
		Word: "string", Text: "string", Names: "list(string)", Paths: "list(string)", Devices: "list(string)",
		Ports: "list(number)", Number: "number", Switch: "bool", Choice: "bool",
	}[k]
}

// Field is a field of a policy: a row of the table from which the schemas of HCL and JSON, the
// options of the command line, the ceiling, the node's attributes and the documents come.
type Field struct {
	// Name is the field's in HCL and JSON. A member of a block has the block's name before its own:
	// process_sandbox.presets.
	Name string
	Kind Kind
	// Members are the fields of a block.
	Members []Field
	// Since is the oldest ABI that enforces the field; 0: each does, or the driver by other means.
	Since landlock.ABI
	// Role says what the paths are to a task.
	Role Role

	// For people, in Markdown. Text says in a sentence or two what the field is, Absent and Empty what
	// it means to leave it out and to give nothing, Ceiling what becomes of it under a ceiling, Kernel
	// what enforces it.
	Text, Absent, Empty, Ceiling, Kernel string

	// value points to the field in a policy. That of a member needs the block to be there.
	value func(p *Policy) any
	// validate says what is wrong with the value, besides what its kind demands.
	validate func(p *Policy) []string
	// limit is what a ceiling admits of paths and devices.
	limit func(ceiling *Policy) limit[string]
	// narrow puts what a ceiling leaves of a request into result, a copy of the request. Fields with
	// a limit need none, and those of paths that nothing may reach or change, to which a ceiling adds.
	narrow func(ceiling, result *Policy) error
}

// Role is what the paths of a field are to a task.
type Role int

// The roles.
const (
	NoRole        Role = iota
	WorkspaceRole      // to read and write
	ReadRole           // to read
	SocketRole         // to connect to UNIX sockets in
	DenyRole           // out of reach, whatever grants them; they need not exist
	ProtectRole        // to stay as they are in workspace roots; they need not exist
)

// takes reports whether the paths of the role take something from the task, and grant nothing.
func (r Role) takes() bool { return r == DenyRole || r == ProtectRole }

// Value points to the field in a policy. That of a member needs its block to be there: see [Policy.Each].
func (f *Field) Value(p *Policy) any { return f.value(p) }

// Key is the name within the block that the field is in.
func (f *Field) Key() string { return f.Name[strings.LastIndexByte(f.Name, '.')+1:] }

// member reports whether the field is in a block.
func (f *Field) member() bool { return f.Name != f.Key() }

// Present reports whether the policy says anything of the field.
func (f *Field) Present(p *Policy) bool { return !reflect.ValueOf(f.value(p)).Elem().IsZero() }

// list is the value of a field of paths, devices or names.
func (f *Field) list(p *Policy) *[]string { return f.value(p).(*[]string) }

// Add puts the block into a policy that has none.
func (f *Field) Add(p *Policy) {
	if block := reflect.ValueOf(f.value(p)).Elem(); block.IsNil() {
		block.Set(reflect.New(block.Type().Elem()))
	}
}

// Each calls do with each field, in the order of the table. The members of a block come
// in its place, if the policy has the block.
func (p *Policy) Each(do func(f *Field)) {
	each(Fields(), p, do)
}

func each(fields []Field, p *Policy, do func(f *Field)) {
	for i := range fields {
		switch f := &fields[i]; {
		case f.Kind != Block:
			do(f)
		case f.Present(p):
			each(f.Members, p, do)
		}
	}
}

// eachRow calls do with each field, and each member of a block.
func eachRow(fields []Field, do func(f *Field)) {
	for i := range fields {
		if fields[i].Kind != Block {
			do(&fields[i])
		}
		eachRow(fields[i].Members, do)
	}
}

// Find returns the row with that name, nil if there is none.
func Find(name string) *Field { return find(Fields(), name) }

func find(fields []Field, name string) *Field {
	for i := range fields {
		if fields[i].Name == name {
			return &fields[i]
		}
		if f := find(fields[i].Members, name); f != nil {
			return f
		}
	}
	return nil
}

// clone copies a value with all that it refers to.
func clone(v reflect.Value) reflect.Value {
	if v.Kind() != reflect.Struct && v.IsZero() {
		return v
	}
	c := reflect.New(v.Type()).Elem()
	switch v.Kind() {
	case reflect.Pointer:
		c.Set(reflect.New(v.Type().Elem()))
		c.Elem().Set(clone(v.Elem()))
	case reflect.Slice:
		c.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		for i := range v.Len() {
			c.Index(i).Set(clone(v.Index(i)))
		}
	case reflect.Map:
		c.Set(reflect.MakeMapWithSize(v.Type(), v.Len()))
		for it := v.MapRange(); it.Next(); {
			c.SetMapIndex(it.Key(), clone(it.Value()))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			c.Field(i).Set(clone(v.Field(i)))
		}
	default:
		c.Set(v)
	}
	return c
}
