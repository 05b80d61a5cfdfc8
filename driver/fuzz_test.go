// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"strings"
	"testing"

	"github.com/hashicorp/nomad/helper/pluginutils/hclspecutils"
	"github.com/hashicorp/nomad/helper/pluginutils/hclutils"
	"github.com/hashicorp/nomad/jobspec2"
	"github.com/hashicorp/nomad/plugins/base"
	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/hashicorp/nomad/plugins/shared/hclspec"
)

// Whatever a job's config block holds, Nomad's own path through it ends in a
// configuration or an error, for the task's schema and for the plugin's.
func FuzzConfigHCL(f *testing.F) {
	for _, seed := range []string{
		`command = "/bin/true"`,
		"command = \"x\"\nargs = [\"a\", null]\nulimit {\n nofile = \"1:2\"\n}",
		"command = \"x\"\ncapability_policy {\n sandbox_profile = \"os_hardened\"\n capabilities {\n workspace = [\"list\"]\n }\n}",
		"command = \"x\"\ncapability_policy {\n capabilities = { workspace = [null] }\n workspace_roots = [null, \"..\"]\n}",
		"fallback = \"warn\"\nceiling {\n read_only_roots = []\n}\ndenied_users = [\"1-\"]",
		"pids_limit = 1e999\nstate_dir = \"\"",
		`command = 1`, `nice = -1`, `capability_policy = []`,
	} {
		f.Add(seed)
	}
	specs := []*hclspec.Spec{nomadsTaskSpec, nomadsSpec}
	f.Fuzz(func(_ *testing.T, body string) {
		if strings.Contains(body, "file") {
			return // functions of jobspec2 that read files
		}
		job, err := jobspec2.ParseWithConfig(&jobspec2.ParseConfig{
			Path: "fuzz.nomad.hcl",
			Body: []byte("job \"j\" {\n group \"g\" {\n task \"t\" {\n config {\n" + body + "\n}\n}\n}\n}\n"),
		})
		if err != nil || len(job.TaskGroups) != 1 || len(job.TaskGroups[0].Tasks) != 1 {
			return
		}
		for i, spec := range specs {
			schema, diag := hclspecutils.Convert(spec)
			if diag.HasErrors() {
				panic(diag)
			}
			value, _, errs := hclutils.ParseHclInterface(job.TaskGroups[0].Tasks[0].Config, schema, nil)
			if len(errs) > 0 {
				continue
			}
			var cfg drivers.TaskConfig
			if cfg.EncodeDriverConfig(value) != nil {
				continue
			}
			if i == 0 {
				var task TaskConfig
				if decode(taskConfigSpec, &task, cfg.DecodeDriverConfig) == nil {
					_ = task.Validate()
				}
				continue
			}
			var config Config
			if decode(configSpec, &config, cfg.DecodeDriverConfig) == nil {
				_ = config.validate()
			}
		}
	})
}

// What arrives over gRPC is decoded before anything has looked at it.
func FuzzConfigMsgpack(f *testing.F) {
	f.Add([]byte{0x80})
	f.Add([]byte("\x81\xa7command\xa9/bin/true"))
	f.Add([]byte("\x82\xa7command\xa1x\xb1capability_policy\x81\xaccapabilities\x81\xa9workspace\x91\xa4list"))
	f.Add([]byte("\x81\xa6ulimit\x81\xa6nofile\xa1-"))
	f.Add([]byte("\x81\xa4args\xdf\xff\xff\xff\xff"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		get := func(tree any) error { return base.MsgPackDecode(data, tree) }
		var task TaskConfig
		if decode(taskConfigSpec, &task, get) == nil {
			_ = task.Validate()
		}
		var config Config
		if decode(configSpec, &config, get) == nil {
			_ = config.validate()
		}
	})
}
