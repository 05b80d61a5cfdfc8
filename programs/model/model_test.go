// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package model_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/programs/model"
)

// A session of each protocol: what is asked, and what the answer has.
func TestSessions(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(model.Handler())
	t.Cleanup(server.Close)
	const cwd = `"system": "Working directory: /w/d",`
	for _, tc := range []struct{ name, path, body, want, not string }{
		{"messages, first", "/v1/messages", `{"stream": true, "tools": [{"name": "Bash"}, {"name": "Write"}], "messages": [{"role": "user", "content": "do it"}]}`, `"name":"Bash"`, `"Write"`},
		{"messages, second", "/v1/messages", `{` + cwd + `"stream": true, "tools": [{"name": "Bash"}, {"name": "Write"}], "messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}`, `/w/d/edited.md`, `"Bash"`},
		{"messages, last", "/v1/messages", `{"tools": [{"name": "Bash"}, {"name": "Write"}], "messages": [{"role": "user", "content": [{"type": "tool_result"}, {"type": "tool_result"}]}]}`, `DONE after 2 steps`, `tool_use`},
		{"messages without tools", "/v1/messages", `{"messages": []}`, `DONE after 0 steps`, `tool_use`},
		{"responses, first", "/v1/responses", `{"tools": [{"name": "exec_command"}], "input": [{"type": "message"}]}`, `"name":"exec_command"`, `DONE`},
		{"responses, second", "/v1/responses", `{"tools": [{"name": "exec_command"}, {"name": "apply_patch"}], "input": [{"type": "function_call_output"}]}`, `"type":"custom_tool_call"`, `DONE`},
		{"responses, last", "/v1/responses", `{"tools": [{"name": "exec_command"}], "input": [{"type": "function_call_output"}, {"type": "custom_tool_call_output"}]}`, `DONE after 2 steps`, `call_id`},
		{"completions, first", "/v1/chat/completions", `{"stream": true, "tools": [{"function": {"name": "bash"}}], "messages": []}`, `"finish_reason":"tool_calls"`, `DONE after`},
		{"completions, last", "/v1/chat/completions", `{"tools": [{"function": {"name": "bash"}}], "messages": [{"role": "tool"}, {"role": "tool"}]}`, `"finish_reason":"stop"`, `tool_calls`},
		{"generate, first", "/v1beta/models/m:streamGenerateContent", `{"tools": [{"functionDeclarations": [{"name": "run_shell_command"}]}], "contents": []}`, `"functionCall"`, `DONE`},
		{"generate, last", "/v1beta/models/m:generateContent", `{"contents": [{"parts": [{"functionResponse": {}}, {"functionResponse": {}}]}]}`, `DONE after 2 steps`, `functionCall`},
		{"generate by a schema", "/v1beta/models/m:generateContent", `{"generationConfig": {"responseJsonSchema": {"properties": {"a": {"type": "STRING"}, "b": {"type": "INTEGER"}}}}}`, `{\"a\":\"none\",\"b\":1}`, `DONE`},
		{"a list", "/v1/nothing", `[]`, `the body is no JSON object`, `DONE`},
		{"no such path", "/v1/nothing", `{}`, `no such path`, `DONE`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			answer, err := http.Post(server.URL+tc.path, "application/json", strings.NewReader(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			text, err := io.ReadAll(answer.Body)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(text), tc.want) || strings.Contains(string(text), tc.not) {
				t.Errorf("no %q, or %q, in\n%s", tc.want, tc.not, text)
			}
		})
	}
}
