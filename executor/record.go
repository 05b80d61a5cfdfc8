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
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// RecordVersion is the version of what outlives the plugin that has written it: the
// records of tasks, with what a caller has recorded as their owner, and what a plugin and
// a supervisor of another version know of each other. A task that was started under one
// of the versions from [OldestVersion] on is found, and all is done with it that can be
// done with one of this version's. One of a newer version is left alone, see [NewerError].
//
// testdata/records holds each version's. Whoever changes one, if only by one member more,
// counts RecordVersion up: an earlier plugin would not know the member. So does an option
// more of a job: Nomad ends running tasks with options that a plugin does not know. Whoever changes
// what a version is read as, or who removes one, breaks a promise of docs/operator.md.
// Until 0.1.0 is released, version 1 is what it will have: its files are written anew.
const (
	RecordVersion = 1
	OldestVersion = 1
)

// NewerError says that something was written by a newer version of this program.
type NewerError struct {
	What    string // what was written
	Version int
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("%s is of version %d, this plugin reads versions %d to %d: it was written by a newer one, install that again; until then nothing becomes of the task",
		e.What, e.Version, OldestVersion, RecordVersion)
}

// CheckVersion returns a [NewerError] if a version is newer than this program's.
func CheckVersion(what string, version int) error {
	switch {
	case version > RecordVersion:
		return &NewerError{what, version}
	case version < OldestVersion:
		return fmt.Errorf("%s is of version %d, this plugin reads versions %d to %d", what, version, OldestVersion, RecordVersion)
	}
	return nil
}

// The records of a task, files in its directory:
//
//	owner        whose task it is, in the words of the caller: written first
//	supervisor   which process the supervisor is: written by the plugin before
//	             the supervisor gets its plan, so that none is ever unknown
//	confinement  what sessions enter
//	started      the task's first process: written once the program executes
//	exit         how it ended
//
// The last two have their room on the disk before the program executes, and are
// filled in place: so a full disk refuses a start, but never loses a task that
// runs, or its exit. See [prepareRecord] for file systems that reserve no room.
const (
	ownerRecord       = "owner"
	supervisorRecord  = "supervisor"
	confinementRecord = "confinement"
	startedRecord     = "started"
	exitRecord        = "exit"
)

type started struct {
	Process Identity  `json:"process"`
	At      time.Time `json:"at"`
}

func (s *started) valid() error { return s.Process.valid() }

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

func (e *Exit) valid() error {
	const mostSignals, mostStatus = 64, 255
	if e.Signal < 0 || e.Signal > mostSignals || e.Code < 0 || e.Code > mostStatus {
		return fmt.Errorf("signal %d and code %d are no end of a process, expected 0 to %d and 0 to %d", e.Signal, e.Code, mostSignals, mostStatus)
	}
	return nil
}

// newSuffix marks a record that is being written.
const newSuffix = ".new"

// Unwritten reports whether a file in a directory of records is one whose
// writing was interrupted.
func Unwritten(name string) bool { return strings.HasSuffix(name, newSuffix) }

// removedSuffix marks a directory of records that is being removed.
const removedSuffix = ".removed"

// Reserve makes a task's directory of records before the task is started, and
// records whose it is, as JSON: so whatever a caller makes for the task
// besides, and wherever it is killed, [ReadOwner] finds it. A member "Version" of
// owner is to be [RecordVersion].
func Reserve(dir string, owner any) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	state, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	defer state.Close()
	return writeRecord(state, ownerRecord, owner)
}

// ReadOwner reads what was given to [Reserve]. It returns [ErrNotStarted] if
// nothing was recorded, and a [NewerError] if a newer version of this program has
// recorded it.
func ReadOwner(dir string, owner any) error {
	var content json.RawMessage
	if err := readRecord(dir, ownerRecord, &content); err != nil {
		return notStarted(err)
	}
	err := decodeOwner(content, owner)
	var newer *NewerError
	if err != nil && !errors.As(err, &newer) {
		return fmt.Errorf("%q: %w", path.Join(dir, ownerRecord), err)
	}
	return err
}

// decodeOwner decodes a record of the owner, if it is of a version that this program
// reads: what else is in one of another version, it does not know.
func decodeOwner(content []byte, owner any) error {
	versioned := struct{ Version int }{1} // the first had none
	if err := json.Unmarshal(content, &versioned); err != nil {
		return err
	}
	if err := CheckVersion("the record of a task", versioned.Version); err != nil {
		return err
	}
	return decodeRecord(content, owner)
}

// Removed reports whether the directory of records was being removed when that
// was interrupted. Only the rest of it is to be removed then.
func Removed(dir string) bool { return strings.HasSuffix(dir, removedSuffix) }

// HasRecords reports whether there is anything at a task's directory of records, or of one
// that was being removed: if not, no start of the task has begun.
func HasRecords(dir string) bool {
	for _, name := range []string{dir, dir + removedSuffix} {
		if _, err := os.Lstat(name); !errors.Is(err, os.ErrNotExist) {
			return true
		}
	}
	return false
}

// removeRecords removes a task's directory. Whoever looks sees all of it or
// nothing, even if this process is killed halfway.
func removeRecords(dir string) error {
	removed := dir + removedSuffix
	if err := os.RemoveAll(removed); err != nil {
		return fmt.Errorf("removing records: %w", err)
	}
	if err := os.Rename(dir, removed); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing records: %w", err)
	}
	if err := os.RemoveAll(removed); err != nil {
		return fmt.Errorf("removing records: %w", err)
	}
	return nil
}

// errNoRecord: the record was never written, or not to its end.
var errNoRecord = errors.New("not recorded")

// writeRecord writes a record so that a reader finds all of it or nothing.
func writeRecord(dir *os.Root, name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	temporary := name + newSuffix
	if err := dir.WriteFile(temporary, data, 0o600); err != nil {
		_ = dir.Remove(temporary)
		return fmt.Errorf("recording %s in the state directory: %w", name, err)
	}
	if err := dir.Rename(temporary, name); err != nil {
		return fmt.Errorf("recording %s in the state directory: %w", name, err)
	}
	return nil
}

// content is what a record holds.
type content interface {
	// valid returns what in it cannot be, or is not of the kind that it should be.
	valid() error
}

// readRecord returns errNoRecord if the record is missing or incomplete, and an
// error if others than the caller can have written it, or if it holds what was
// never written.
func readRecord(dir, name string, v any) error {
	d, err := openTrusted(dir)
	if errors.Is(err, os.ErrNotExist) {
		return errNoRecord
	}
	if err != nil {
		return err
	}
	defer d.Close()
	f, err := openRecord(d, name)
	if errors.Is(err, os.ErrNotExist) {
		return errNoRecord
	}
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxRecord+1))
	if err != nil {
		return fmt.Errorf("%q: %w", f.Name(), err)
	}
	if len(data) > maxRecord {
		return fmt.Errorf("%q: more than %d bytes, it is none of ours", f.Name(), maxRecord)
	}
	if err := decodeRecord(data, v); err != nil && !errors.Is(err, errNoRecord) {
		return fmt.Errorf("%q: %w", f.Name(), err)
	} else if err != nil {
		return err
	}
	return nil
}

// decodeRecord decodes what a file holds, and nothing that was not written.
func decodeRecord(data []byte, v any) error {
	data = bytes.TrimRight(data, "\x00") // see preparedRecord
	if len(data) == 0 {
		return errNoRecord
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more in it than one record")
	}
	if c, ok := v.(content); ok {
		return c.valid()
	}
	return nil
}

// maxRecord is the size in bytes up to which a record is read.
const maxRecord = 16 << 20

// preparedSize is the size in bytes of a prepared record, with room for any
// content of started and exit.
const preparedSize = 512

// preparedRecord is a record that needs no more room on the disk.
type preparedRecord struct {
	name string
	file *os.File
}

// prepareRecord makes a record with its final size. It counts as not recorded
// until it is filled in.
//
// The room is reserved, not written: one that copies on write, as btrfs does, needs
// new room to overwrite what was written, and none to write what was reserved. Where
// nothing can be reserved, zeros are written: on file systems that overwrite in place,
// that is as good.
func prepareRecord(dir *os.Root, name string) (*preparedRecord, error) {
	f, err := dir.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("preparing the %s record in the state directory: %w", name, err)
	}
	if err := reserve(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("preparing the %s record in the state directory: %w", name, err)
	}
	return &preparedRecord{name, f}, nil
}

// reserve gives a file its room on the disk.
func reserve(f *os.File) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, 0, preparedSize)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
			_, err = f.Write(make([]byte, preparedSize))
		}
		return err
	}
}

// How often, and for how long in all, a record is tried again that found no room.
const (
	roomPause = 100 * time.Millisecond
	roomTime  = 10 * time.Second
)

// writeWithRoom fills the record in. If there is no room, which only a file system
// that reserves none can say, it waits for some.
func (r *preparedRecord) writeWithRoom(v any) error {
	for began := time.Now(); ; time.Sleep(roomPause) {
		err := r.write(v)
		if !lacksRoom(err) || time.Since(began) > roomTime {
			return err
		}
	}
}

// lacksRoom reports whether that is what an error is about.
func lacksRoom(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// write fills the record in, by one write(2): a reader finds all of it or
// nothing.
func (r *preparedRecord) write(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(data) > preparedSize {
		return fmt.Errorf("recording %s: it has %d bytes, at most %d fit", r.name, len(data), preparedSize)
	}
	if _, err = r.file.WriteAt(data, 0); err != nil {
		return fmt.Errorf("recording %s in the state directory: %w", r.name, err)
	}
	return nil
}
