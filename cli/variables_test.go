// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/nomad/client/taskenv"
	"github.com/hashicorp/nomad/helper/pluginutils/hclspecutils"
	"github.com/hashicorp/nomad/helper/pluginutils/hclutils"
	"github.com/hashicorp/nomad/jobspec2"
	"github.com/hashicorp/nomad/nomad/structs"
	"github.com/hashicorp/nomad/plugins/shared/hclspec"
	"github.com/zclconf/go-cty/cty"

	"github.com/burin-labs/nomad-driver-harn/cli/command"
)

const variablesJob = `
job "j" {
  type = "batch"
  meta { place = "job" }
  group "g" {
    network {
      port "fixed" { static = 8080 }
      port "free" {}
    }
    task "t" {
      driver = "harn"
      meta { place = "task" }
      env {
        FOO = "foo of ${NOMAD_TASK_NAME}"
        BAR = "${node.class}"
      }
      config {
        command = "/bin/echo"
        args    = [%s]
        capability_policy { workspace_roots = ["${NOMAD_TASK_DIR}/x"] }
      }
      resources {
        cpu    = 123
        memory = 64
      }
    }
  }
}
`

// variablesText is a job with this argument, as it is written between quotes.
func variablesText(t *testing.T, arg string) string {
	t.Helper()
	return fmt.Sprintf(variablesJob, `"`+arg+`"`)
}

func readVariables(t *testing.T, at *command.Place, arg string) (*command.Job, error) {
	t.Helper()
	return reader{}.Job(nil, write(t, "x.nomad.hcl", variablesText(t, arg)), "", at)
}

// clientsValues are the variables that Nomad's client has for a task of that job.
func clientsValues(t *testing.T) map[string]cty.Value {
	t.Helper()
	task := &structs.Task{Name: "t", Meta: map[string]string{"place": "task"}, Env: map[string]string{"FOO": "foo of ${NOMAD_TASK_NAME}"}, Resources: &structs.Resources{CPU: 123, MemoryMB: 64}}
	job := &structs.Job{
		ID: "j", Name: "j", Namespace: "default", Region: "global", Meta: map[string]string{"place": "job"},
		TaskGroups: []*structs.TaskGroup{{Name: "g", Tasks: []*structs.Task{task}}},
	}
	alloc := &structs.Allocation{
		ID: "0b5a7b3e-8e2f-4a51-9c40-0e5c8a6f8d11", Name: "j.g[0]", Namespace: "default", TaskGroup: "g", Job: job,
		AllocatedResources: &structs.AllocatedResources{
			Tasks:  map[string]*structs.AllocatedTaskResources{"t": {Cpu: structs.AllocatedCpuResources{CpuShares: 123}, Memory: structs.AllocatedMemoryResources{MemoryMB: 64}}},
			Shared: structs.AllocatedSharedResources{Ports: structs.AllocatedPorts{{Label: "fixed", Value: 8080, HostIP: "10.0.0.1"}}},
		},
	}
	node := &structs.Node{Attributes: map[string]string{"kernel.name": "linux", "cpu.arch": runtime.GOARCH}}
	values, errs, err := taskenv.NewBuilder(node, alloc, task, "global").SetTaskLocalDir("/task/local").SetAllocDir("/task/alloc").SetSecretsDir("/task/secrets").Build().AllValues()
	if err != nil || len(errs) > 0 {
		t.Fatal(err, errs)
	}
	return values
}

// A variable that is known has the value that Nomad's client gives it, by the same
// expression.
func TestVariablesAreTheClients(t *testing.T) {
	schema, diags := hclspecutils.Convert(hclspec.NewObject(map[string]*hclspec.Spec{"arg": hclspec.NewAttr("arg", "string", true)}))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	values := clientsValues(t)
	for _, arg := range []string{
		"plain", "${NOMAD_TASK_DIR}/x", "${NOMAD_ALLOC_DIR}", "${NOMAD_SECRETS_DIR}", "a ${NOMAD_TASK_NAME} b ${NOMAD_GROUP_NAME}", "${NOMAD_JOB_NAME}",
		"${NOMAD_JOB_ID}", "${NOMAD_NAMESPACE}", "${NOMAD_REGION}", "${NOMAD_CPU_LIMIT}", "${NOMAD_MEMORY_LIMIT}", "${NOMAD_META_place}", "${NOMAD_META_PLACE}",
		"${attr.kernel.name}", "${node.attr.kernel.name}", "${attr.cpu.arch}", "${NOMAD_PORT_fixed}", "${FOO}", `${env["FOO"]}`, `${env["NOMAD_META_place"]}`, "$${upper(NOMAD_JOB_ID)}",
		"$${NOMAD_CPU_LIMIT > 100 ? NOMAD_JOB_ID : NOMAD_REGION}", "$$${FOO}", "100%", "$5", `$${1 + 2}`,
	} {
		job, err := readVariables(t, &command.Place{TaskDir: "/task"}, arg)
		if err != nil {
			t.Errorf("%s: %v", arg, err)
			continue
		}
		parsed, err := jobspec2.Parse("x", strings.NewReader(variablesText(t, arg)))
		if err != nil {
			t.Fatal(err)
		}
		sent := parsed.TaskGroups[0].Tasks[0].Config["args"].([]any)[0] // what the client gets
		want, diags, errs := hclutils.ParseHclInterface(map[string]any{"arg": sent}, schema, values)
		if diags.HasErrors() || len(errs) > 0 {
			t.Errorf("%s: the client: %v", arg, diags)
			continue
		}
		if got, want := job.Request.Args[0], want.GetAttr("arg").AsString(); got != want || slices.Contains(job.Unknown, arg) {
			t.Errorf("%s: %q, unknown %q, but the client says %q", arg, got, job.Unknown, want)
		}
	}
}

// What only a node knows stays as it is written, and is named.
func TestUnknownVariables(t *testing.T) {
	for arg, want := range map[string][]string{
		"${meta.x}":                        {"${meta.x}"},
		"${node.unique.name}":              {"${node.unique.name}"},
		"a ${attr.x.y-z} ${NOMAD_IP_free}": {"${NOMAD_IP_free}", "${attr.x.y-z}"},
		"${NOMAD_PORT_free}":               {"${NOMAD_PORT_free}"},
		`${env["NONE"]}`:                   {`${env["NONE"]}`},
		"${attr.kernel.name}":              nil,
	} {
		job, err := readVariables(t, &command.Place{TaskDir: "/task"}, arg)
		if err != nil {
			t.Errorf("%s: %v", arg, err)
			continue
		}
		if got := job.Request.Args[0]; want != nil && got != arg {
			t.Errorf("%s: %q", arg, got)
		}
		if want = append([]string{"${node.class}"}, want...); !slices.Equal(slices.Sorted(slices.Values(want)), job.Unknown) {
			t.Errorf("%s: unknown are %q, expected %q", arg, job.Unknown, want)
		}
		if got := job.Request.Policy.WorkspaceRoots[0]; got != "/task/local/x" {
			t.Errorf("root %q", got)
		}
		if job.Env["FOO"] != "foo of t" || job.Env["BAR"] != "${node.class}" {
			t.Errorf("env %q", job.Env)
		}
	}
	// Where the task runs, it has ports; and what is given counts more.
	job, err := readVariables(t, &command.Place{TaskDir: "/task", Runs: true, Env: map[string]string{"GIVEN": "x"}}, "${NOMAD_ADDR_free} ${GIVEN}")
	if err != nil || !regexp.MustCompile(`^127\.0\.0\.1:[0-9]+ x$`).MatchString(job.Request.Args[0]) || job.Nomads["NOMAD_PORT_fixed"] != "8080" {
		t.Errorf("%+v, %v", job, err)
	}
	// Without a directory, a policy's own names of the task's directories.
	if job, err = readVariables(t, &command.Place{}, "x"); err != nil || job.Request.Policy.WorkspaceRoots[0] != "local/x" {
		t.Errorf("%+v, %v", job, err)
	}
}

// An expression that is none is an error that says where.
func TestExpressionsThatAreNone(t *testing.T) {
	for arg, want := range map[string][]string{
		"$${NOMAD_TASK_DIR":             {"config.args[0]", `"${NOMAD_TASK_DIR"`},
		"$${nosuch(NOMAD_TASK_DIR)}":    {"config.args[0]", "nosuch"},
		"$${NOMAD_TASK_DIR.x}":          {"config.args[0]", "NOMAD_TASK_DIR"},
		"${node.x + 1} ${nosuch(1)}":    {"Invalid operand", "nosuch"},
		"$${meta.x + 1}":                {"config.args[0]", "meta.x"},
		"$${meta.x} $${meta.x.y}":       {"config.args[0]", "meta.x.y"},
		"$${[for x in NOMAD_IP_x : x]}": {"config.args[0]", "NOMAD_IP_x"},
	} {
		_, err := readVariables(t, &command.Place{}, arg)
		if err == nil {
			t.Errorf("%s: no error", arg)
			continue
		}
		wantTexts(t, arg, err.Error(), want, []string{"\n"})
	}
}
