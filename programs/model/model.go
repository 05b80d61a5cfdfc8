// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package model is a server that agent programs take for their vendor's: it has
// each session run a shell command, then write a file, then end. It speaks as
// much of Anthropic's messages, OpenAI's responses and chat completions and
// Google's generateContent as the programs of docs/programs.md ask for.
package model

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
)

// What sessions are told to do in their working directory.
const (
	// Command is the shell command. It writes the file ShellFile.
	Command   = "echo made by a command > " + ShellFile
	ShellFile = "command.txt"
	// EditedFile is written by the program's own tool, with the text Edited.
	EditedFile = "edited.md"
	Edited     = "made by a tool\n"
	// Done begins the answer that ends a session.
	Done = "DONE after"
)

// object is a JSON object.
type object = map[string]any

// call is what the model asks a program to do. input is an object, or the text
// of a tool that takes plain text.
type call struct {
	tool  string
	input any
}

// steps are the calls of a session by the names that programs give their tools:
// of each step, the first call whose tool the program has.
var steps = [][]call{
	{
		{"Bash", object{"command": Command, "description": "write a file"}},              // Claude Code
		{"exec_command", object{"cmd": Command}},                                         // Codex
		{"shell_command", object{"command": Command}},                                    // Codex
		{"shell", object{"command": []string{"bash", "-c", Command}}},                    // Codex
		{"run_shell_command", object{"command": Command, "description": "write a file"}}, // Gemini CLI
		{"bash", object{"command": Command, "description": "write a file"}},              // OpenCode
	},
	{
		{"Write", object{"file_path": "@CWD@/" + EditedFile, "content": Edited}},
		{"write_file", object{"file_path": "@CWD@/" + EditedFile, "content": Edited}},
		{"write", object{"filePath": "@CWD@/" + EditedFile, "content": Edited}},
		{"apply_patch", "*** Begin Patch\n*** Add File: " + EditedFile + "\n+" + Edited + "*** End Patch\n"},
		// Codex without a tool for patches has a command for them.
		{"exec_command", object{"cmd": "apply_patch <<'EOF'\n*** Begin Patch\n*** Add File: " + EditedFile + "\n+" + Edited + "*** End Patch\nEOF"}},
		{"shell_command", object{"command": "apply_patch <<'EOF'\n*** Begin Patch\n*** Add File: " + EditedFile + "\n+" + Edited + "*** End Patch\nEOF"}},
	},
}

// next is what a program is to do that has these tools and has done so many
// steps: nil if the session is over. body says where the program works.
func next(tools []string, done int, body []byte) *call {
	if done >= len(steps) {
		return nil
	}
	has := map[string]bool{}
	for _, tool := range tools {
		has[tool] = true
	}
	for _, c := range steps[done] {
		if has[c.tool] {
			return &call{c.tool, inDirectory(c.input, workingDirectory(body))}
		}
	}
	return nil
}

// inDirectory puts the directory in the place of @CWD@ in the input's paths.
func inDirectory(input any, dir string) any {
	fields, ok := input.(object)
	if !ok {
		return input
	}
	out := object{}
	for name, value := range fields {
		if text, ok := value.(string); ok {
			value = strings.ReplaceAll(text, "@CWD@", dir)
		}
		out[name] = value
	}
	return out
}

// Programs tell a model in prose where they work.
var directory = regexp.MustCompile(`(?i:working directory|cwd)[^/]{0,40}(/[^\s"<\\,` + "`" + `]+)`)

func workingDirectory(body []byte) string {
	if m := directory.FindSubmatch(body); m != nil {
		return string(m[1])
	}
	return "."
}

func end(done int) string { return fmt.Sprintf("%s %d steps", Done, done) }

// request has the fields of all the protocols that matter here.
type request struct {
	Model  string `json:"model"`
	Stream bool   `json:"stream"`
	Tools  []struct {
		Name     string `json:"name"`
		Type     string `json:"type"`
		Function struct {
			Name string `json:"name"`
		} `json:"function"`
		Declarations []struct {
			Name string `json:"name"`
		} `json:"functionDeclarations"`
	} `json:"tools"`
	Messages []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	} `json:"messages"`
	Input  json.RawMessage `json:"input"`
	Config struct {
		// What the answer must look like: Gemini CLI asks for the complexity of
		// what it is to do, to choose a model.
		Schema struct {
			Properties map[string]struct {
				Type string `json:"type"`
			} `json:"properties"`
		} `json:"responseJsonSchema"`
	} `json:"generationConfig"`
	Contents []struct {
		Parts []struct {
			Response json.RawMessage `json:"functionResponse"`
		} `json:"parts"`
	} `json:"contents"`
}

func (r *request) tools() (names []string) {
	for _, tool := range r.Tools {
		names = append(names, tool.Name, tool.Function.Name)
		for _, d := range tool.Declarations {
			names = append(names, d.Name)
		}
	}
	return names
}

// Handler serves all the protocols. Keys are not looked at.
func Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost { // lists of models, and whether anybody is there
			answer(w, object{"object": "list", "data": []object{{"id": "fake-1", "object": "model"}}, "models": []object{}})
			return
		}
		body, err := io.ReadAll(io.LimitReader(r.Body, 16<<20))
		var q request
		if err != nil || json.Unmarshal(body, &q) != nil {
			http.Error(w, `{"error":{"message":"the body is no JSON object"}}`, http.StatusBadRequest)
			return
		}
		switch path := r.URL.Path; {
		case strings.HasSuffix(path, "/count_tokens"):
			answer(w, object{"input_tokens": 10})
		case strings.HasSuffix(path, "/messages"):
			messages(w, &q, body)
		case strings.HasSuffix(path, "/responses"):
			responses(w, &q, body)
		case strings.HasSuffix(path, "/chat/completions"):
			completions(w, &q, body)
		case strings.Contains(path, "enerateContent"):
			generate(w, &q, body, strings.Contains(path, "stream"))
		default:
			http.Error(w, `{"error":{"message":"no such path"}}`, http.StatusNotFound)
		}
	})
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// stream sends server-sent events. Objects with a type are named by it.
func stream(w http.ResponseWriter, events ...any) {
	w.Header().Set("Content-Type", "text/event-stream")
	for _, event := range events {
		if o, ok := event.(object); ok {
			if kind, ok := o["type"].(string); ok {
				fmt.Fprintf(w, "event: %s\n", kind)
			}
		}
		text, isText := event.(string)
		if !isText {
			encoded, _ := json.Marshal(event) // objects of texts and numbers
			text = string(encoded)
		}
		fmt.Fprintf(w, "data: %s\n\n", text)
	}
}

func encode(v any) string {
	text, _ := json.Marshal(v) // as in stream
	return string(text)
}

// messages is Anthropic's protocol.
func messages(w http.ResponseWriter, q *request, body []byte) {
	done := 0
	for _, m := range q.Messages {
		var parts []struct {
			Type string `json:"type"`
		}
		_ = json.Unmarshal(m.Content, &parts) // plain text has no results
		for _, part := range parts {
			if part.Type == "tool_result" {
				done++
			}
		}
	}
	id := fmt.Sprintf("toolu_%d", done)
	block, delta, whole, stop := object{"type": "text", "text": ""}, object{"type": "text_delta", "text": end(done)}, object{"type": "text", "text": end(done)}, "end_turn"
	if c := next(q.tools(), done, body); c != nil {
		block = object{"type": "tool_use", "id": id, "name": c.tool, "input": object{}}
		delta = object{"type": "input_json_delta", "partial_json": encode(c.input)}
		whole = object{"type": "tool_use", "id": id, "name": c.tool, "input": c.input}
		stop = "tool_use"
	}
	message := object{
		"id": "msg_1", "type": "message", "role": "assistant", "model": q.Model, "content": []object{},
		"stop_reason": nil, "stop_sequence": nil, "usage": object{"input_tokens": 1, "output_tokens": 1},
	}
	if !q.Stream {
		message["content"], message["stop_reason"] = []object{whole}, stop
		answer(w, message)
		return
	}
	stream(
		w, object{"type": "message_start", "message": message},
		object{"type": "content_block_start", "index": 0, "content_block": block},
		object{"type": "content_block_delta", "index": 0, "delta": delta},
		object{"type": "content_block_stop", "index": 0},
		object{"type": "message_delta", "delta": object{"stop_reason": stop, "stop_sequence": nil}, "usage": object{"output_tokens": 2}},
		object{"type": "message_stop"},
	)
}

// responses is OpenAI's newer protocol.
func responses(w http.ResponseWriter, q *request, body []byte) {
	done := 0
	var items []struct {
		Type string `json:"type"`
	}
	_ = json.Unmarshal(q.Input, &items) // plain text has no results
	for _, item := range items {
		if strings.HasSuffix(item.Type, "call_output") {
			done++
		}
	}
	id := fmt.Sprintf("call_%d", done)
	item := object{
		"type": "message", "id": "m1", "role": "assistant", "status": "completed",
		"content": []object{{"type": "output_text", "text": end(done), "annotations": []object{}}},
	}
	if c := next(q.tools(), done, body); c != nil {
		if text, ok := c.input.(string); ok {
			item = object{"type": "custom_tool_call", "id": "c" + id, "call_id": id, "name": c.tool, "input": text, "status": "completed"}
		} else {
			item = object{"type": "function_call", "id": "f" + id, "call_id": id, "name": c.tool, "arguments": encode(c.input), "status": "completed"}
		}
	}
	stream(
		w, object{"type": "response.created", "response": object{"id": "resp_" + id, "object": "response", "status": "in_progress", "output": []object{}}},
		object{"type": "response.output_item.added", "output_index": 0, "item": item},
		object{"type": "response.output_item.done", "output_index": 0, "item": item},
		object{"type": "response.completed", "response": object{
			"id": "resp_" + id, "object": "response", "status": "completed", "output": []object{item},
			"usage": object{
				"input_tokens": 1, "output_tokens": 1, "total_tokens": 2,
				"input_tokens_details": object{"cached_tokens": 0}, "output_tokens_details": object{"reasoning_tokens": 0},
			},
		}},
	)
}

// completions is OpenAI's older protocol, which most other vendors speak.
func completions(w http.ResponseWriter, q *request, body []byte) {
	done := 0
	for _, m := range q.Messages {
		if m.Role == "tool" {
			done++
		}
	}
	message, reason := object{"role": "assistant", "content": end(done)}, "stop"
	if c := next(q.tools(), done, body); c != nil {
		message = object{"role": "assistant", "tool_calls": []object{{
			"index": 0, "id": fmt.Sprintf("call_%d", done), "type": "function",
			"function": object{"name": c.tool, "arguments": encode(c.input)},
		}}}
		reason = "tool_calls"
	}
	head := func(kind string, choice object) object {
		return object{
			"id": "c1", "object": kind, "created": 1, "model": q.Model, "choices": []object{choice},
			"usage": object{"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
		}
	}
	if !q.Stream {
		answer(w, head("chat.completion", object{"index": 0, "message": message, "finish_reason": reason}))
		return
	}
	stream(
		w, head("chat.completion.chunk", object{"index": 0, "delta": message, "finish_reason": nil}),
		head("chat.completion.chunk", object{"index": 0, "delta": object{}, "finish_reason": reason}), "[DONE]",
	)
}

// generate is Google's protocol.
func generate(w http.ResponseWriter, q *request, body []byte, streamed bool) {
	done := 0
	for _, content := range q.Contents {
		for _, part := range content.Parts {
			if part.Response != nil {
				done++
			}
		}
	}
	part := object{"text": end(done)}
	if properties := q.Config.Schema.Properties; len(properties) > 0 {
		out := object{}
		for name, p := range properties {
			out[name] = "none"
			if p.Type == "INTEGER" || p.Type == "integer" {
				out[name] = 1
			}
		}
		part = object{"text": encode(out)}
	} else if c := next(q.tools(), done, body); c != nil {
		part = object{"functionCall": object{"name": c.tool, "args": c.input}}
	}
	reply := object{
		"candidates":    []object{{"content": object{"role": "model", "parts": []object{part}}, "finishReason": "STOP", "index": 0}},
		"usageMetadata": object{"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
	}
	if streamed {
		stream(w, reply)
	} else {
		answer(w, reply)
	}
}
