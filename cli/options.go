// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package cli

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
	for _, name := range []string{"sandbox_profile", "side_effect_level"} {
		flags.Func(name, "The policy's `"+name+"`.", func(value string) error {
			o.fields[name] = value
			return nil
		})
	}
	for _, name := range []string{"workspace_roots", "read_only_roots", "unix_socket_roots", "devices"} {
		flags.Func(name, "One `path` of the policy's "+name+". Can be repeated.", func(value string) error {
			o.add(name, value)
			return nil
		})
	}
	for _, name := range []string{"tcp_connect", "tcp_bind"} {
		flags.Func(name, "One `port` of the policy's "+name+". Can be repeated.", func(value string) error {
			n, err := number(value)
			o.add(name, n)
			return err
		})
	}
	flags.Func("min_landlock_abi", "The policy's min_landlock_abi, a `number`.", func(value string) (err error) {
		o.fields["min_landlock_abi"], err = number(value)
		return err
	})
	flags.BoolFunc("local_ipc", "The policy's local_ipc.", func(value string) (err error) {
		o.fields["local_ipc"], err = strconv.ParseBool(value)
		return err
	})
	flags.Func("capabilities", "One of the policy's capabilities, `NAME=OPERATION,...`. Can be repeated.", func(value string) error {
		name, operations, ok := strings.Cut(value, "=")
		if !ok || name == "" {
			return errors.New("expected one like workspace=read_text,list")
		}
		all, _ := o.fields["capabilities"].(map[string][]string)
		if all == nil {
			all = map[string][]string{}
		}
		all[name] = []string{}
		if operations != "" {
			all[name] = strings.Split(operations, ",")
		}
		o.fields["capabilities"] = all
		return nil
	})
	return o
}

func number(value string) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", value)
	}
	return n, nil
}

func (o *policyOptions) add(name string, value any) {
	list, _ := o.fields[name].([]any)
	o.fields[name] = append(list, value)
}

func (o *policyOptions) empty() bool { return len(o.fields) == 0 }

// policy decodes the fields as those of a file.
func (o *policyOptions) policy() (*policy.Policy, error) {
	data, err := json.Marshal(o.fields)
	if err != nil {
		return nil, err
	}
	return decodePolicy(data)
}
