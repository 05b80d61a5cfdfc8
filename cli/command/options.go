// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package command

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"

	"github.com/burin-labs/nomad-driver-harn/policy"
)

// policyOptions are a policy on the command line: an option for each field.
type policyOptions struct{ fields map[string]any }

func newPolicyOptions(flags *flag.FlagSet) *policyOptions {
	o := &policyOptions{fields: map[string]any{}}
	o.add(flags, policy.Fields(), o.fields)
	return o
}

// add adds an option for each of the fields, whose values go to an object. The fields of
// a block go to one of its own.
func (o *policyOptions) add(flags *flag.FlagSet, fields []policy.Field, object map[string]any) {
	for i := range fields {
		f := &fields[i]
		name, key := f.Name, f.Key()
		switch f.Kind {
		case policy.Block:
			members := map[string]any{}
			o.add(flags, f.Members, members)
			object[key] = members
		case policy.Word, policy.Text:
			flags.Func(name, "The policy's `"+key+"`.", func(value string) error {
				object[key] = value
				return nil
			})
		case policy.Paths, policy.Devices, policy.Names:
			what := map[policy.Kind]string{policy.Paths: "path", policy.Devices: "path", policy.Names: "name"}[f.Kind]
			flags.Func(name, "One `"+what+"` of the policy's "+name+". Can be repeated.", func(value string) error {
				appendTo(object, key, value)
				return nil
			})
		case policy.Ports:
			flags.Func(name, "One `port` of the policy's "+name+". Can be repeated.", func(value string) error {
				n, err := number(value)
				appendTo(object, key, n)
				return err
			})
		case policy.Number:
			flags.Func(name, "The policy's "+name+", a `number`.", func(value string) (err error) {
				object[key], err = number(value)
				return err
			})
		case policy.Switch, policy.Choice:
			flags.BoolFunc(name, "The policy's "+name+".", func(value string) (err error) {
				object[key], err = strconv.ParseBool(value)
				return err
			})
		case policy.Operations:
			flags.Func(name, "One of the policy's "+name+", `NAME=OPERATION,...`. Can be repeated.", func(value string) error {
				return addOperations(object, key, value)
			})
		}
	}
}

func addOperations(object map[string]any, key, value string) error {
	name, operations, ok := strings.Cut(value, "=")
	if !ok || name == "" {
		return errors.New("expected one like workspace=read_text,list")
	}
	all, _ := object[key].(map[string][]string)
	if all == nil {
		all = map[string][]string{}
	}
	all[name] = []string{}
	if operations != "" {
		all[name] = strings.Split(operations, ",")
	}
	object[key] = all
	return nil
}

func number(value string) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", value)
	}
	return n, nil
}

func appendTo(object map[string]any, key string, value any) {
	list, _ := object[key].([]any)
	object[key] = append(list, value)
}

// empty reports whether no option was given.
func (o *policyOptions) empty() bool { return says(o.fields) == nil }

// says is an object without the blocks in which nothing was given; nil if nothing is left.
func says(object map[string]any) map[string]any {
	var out map[string]any
	for key, value := range object {
		if members, ok := value.(map[string]any); ok {
			if members = says(members); members == nil {
				continue
			}
			value = members
		}
		if out == nil {
			out = map[string]any{}
		}
		out[key] = value
	}
	return out
}

// request asks for the policy alone, which is decoded as that of a file.
func (o *policyOptions) request() (*request, error) {
	object := says(o.fields)
	if object == nil {
		object = map[string]any{}
	}
	data, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	return policyRequest(data)
}
