// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"time"
)

// The records of a task, files in its directory:
//
//	supervisor   which process the supervisor is: written by the plugin before
//	             the supervisor gets its plan, so that none is ever unknown
//	confinement  what sessions enter
//	started      the task's first process: written once the program executes
//	exit         how it ended: made with its final size when the supervisor
//	             starts, and filled in place, so that a full disk refuses a
//	             start but never loses an exit
const (
	supervisorRecord  = "supervisor"
	confinementRecord = "confinement"
	startedRecord     = "started"
	exitRecord        = "exit"
)

type started struct {
	Process Identity  `json:"process"`
	At      time.Time `json:"at"`
}

// Exit says how a task or a session ended.
type Exit struct {
	// Code is the exit status, or 128 plus the signal's number.
	Code int `json:"code"`
	// Signal is the number of the signal that ended it, 0 if none did.
	Signal int `json:"signal"`
	// OOMKilled: the kernel has killed a process of the task for want of memory.
	OOMKilled bool      `json:"oom_killed"`
	At        time.Time `json:"at"`
}

// errNoRecord: the record was never written, or not to its end.
var errNoRecord = errors.New("not recorded")

// writeRecord writes a record so that a reader finds all of it or nothing.
func writeRecord(dir *os.Root, name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	temporary := name + ".new"
	if err := dir.WriteFile(temporary, data, 0o600); err != nil {
		_ = dir.Remove(temporary)
		return fmt.Errorf("recording %s in the state directory: %w", name, err)
	}
	if err := dir.Rename(temporary, name); err != nil {
		return fmt.Errorf("recording %s in the state directory: %w", name, err)
	}
	return nil
}

// readRecord returns errNoRecord if the record is missing or incomplete.
func readRecord(dir, name string, v any) error {
	f, err := os.Open(path.Join(dir, name))
	if errors.Is(err, os.ErrNotExist) {
		return errNoRecord
	}
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxRecord+1))
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	if len(data) > maxRecord {
		return fmt.Errorf("%s: more than %d bytes, it is none of ours", f.Name(), maxRecord)
	}
	data = bytes.TrimRight(data, "\x00") // see newExitFile
	if len(data) == 0 {
		return errNoRecord
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	return nil
}

// maxRecord is the size in bytes up to which a record is read.
const maxRecord = 16 << 20

// exitSize is the size in bytes of an exit record, with room for any content.
const exitSize = 256

// newExitFile makes the exit record with its final size.
func newExitFile(dir *os.Root) (*os.File, error) {
	f, err := dir.OpenFile(exitRecord, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("preparing the exit record in the state directory: %w", err)
	}
	if _, err := f.Write(make([]byte, exitSize)); err != nil {
		f.Close()
		return nil, fmt.Errorf("preparing the exit record in the state directory: %w", err)
	}
	return f, nil
}

func writeExit(f *os.File, exit Exit) error {
	data, err := json.Marshal(exit)
	if err != nil {
		return err
	}
	if len(data) > exitSize {
		return fmt.Errorf("an exit record of %d bytes, at most %d fit", len(data), exitSize)
	}
	_, err = f.WriteAt(data, 0)
	return err
}
