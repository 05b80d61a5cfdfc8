// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestMessage(t *testing.T) {
	want := Process{Path: "sleep", Args: []string{"sleep", "1"}, Env: []string{"A=b"}, Dir: "/"}
	sent, err := message(want)
	if err != nil {
		t.Fatal(err)
	}
	// The reader must not wait for the end: the pipe of a task in the foreground stays open.
	in := strings.NewReader(string(sent) + "rest")
	var got Process
	err = readMessage(in, &got)
	if err != nil || got.Path != want.Path || len(got.Args) != 2 || got.Env[0] != "A=b" {
		t.Errorf("read %+v, %v, want %+v", got, err, want)
	}
	if rest, _ := io.ReadAll(in); string(rest) != "rest" {
		t.Errorf("left %q", rest)
	}
	for n := range sent {
		if err := readMessage(bytes.NewReader(sent[:n]), &got); !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
			t.Errorf("%d of %d bytes: %v, want an error", n, len(sent), err)
		}
	}
	if err := readMessage(strings.NewReader("\x00\x00\x00\x02{]"), &got); err == nil {
		t.Error("no JSON was read")
	}
	if err := readMessage(strings.NewReader("\xff\xff\xff\xff{}"), &got); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("4 GB: %v, want an error", err)
	}
	if _, err := message(Process{Path: strings.Repeat("a", maxMessage)}); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("too long to send: %v, want an error", err)
	}
}
