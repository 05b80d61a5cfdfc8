// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"github.com/hashicorp/go-hclog"

	"github.com/burin-labs/nomad-driver-harn/internal/plain"
)

// plainLogger keeps what a task or a job chose from doing anything to who reads the
// agent's log: each value is one line, of printable characters.
type plainLogger struct{ hclog.Logger }

func (l plainLogger) Trace(msg string, args ...any) {
	l.Logger.Trace(plain.Line(msg), plainArgs(args)...)
}

func (l plainLogger) Debug(msg string, args ...any) {
	l.Logger.Debug(plain.Line(msg), plainArgs(args)...)
}

func (l plainLogger) Info(msg string, args ...any) {
	l.Logger.Info(plain.Line(msg), plainArgs(args)...)
}

func (l plainLogger) Warn(msg string, args ...any) {
	l.Logger.Warn(plain.Line(msg), plainArgs(args)...)
}

func (l plainLogger) Error(msg string, args ...any) {
	l.Logger.Error(plain.Line(msg), plainArgs(args)...)
}

// plainArgs are the same names and values as text that can be shown.
func plainArgs(args []any) []any {
	shown := make([]any, len(args))
	for i, arg := range args {
		switch v := arg.(type) {
		case string:
			shown[i] = plain.Line(v)
		case error:
			shown[i] = plain.Line(v.Error())
		default:
			shown[i] = arg
		}
	}
	return shown
}
