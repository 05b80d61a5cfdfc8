// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

// A message is JSON behind its length: a reader knows where it ends while the
// pipe stays open, takes no more memory than that, and can pass it on as it is.

const (
	lengthSize = 4
	// maxMessage is the length in bytes up to which a message is taken. The
	// kernel takes less of arguments and environment, which are most of one.
	maxMessage = 16 << 20
)

// message makes a message of a value.
func message(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	if len(data) > maxMessage {
		return nil, fmt.Errorf("a plan of %d bytes, expected at most %d: are there so many arguments, variables or files?", len(data), maxMessage)
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(data))), data...), nil
}

// readMessage decodes a message, and returns it as it was read.
func readMessage(from io.Reader, v any) ([]byte, error) {
	var length [lengthSize]byte
	if _, err := io.ReadFull(from, length[:]); err != nil {
		return nil, fmt.Errorf("its length: %w", err)
	}
	n := binary.BigEndian.Uint32(length[:])
	if n > maxMessage {
		return nil, fmt.Errorf("a message of %d bytes, expected at most %d", n, maxMessage)
	}
	read := append(make([]byte, 0, lengthSize+n), length[:]...)[:lengthSize+n]
	if _, err := io.ReadFull(from, read[lengthSize:]); err != nil {
		return nil, fmt.Errorf("its %d bytes: %w", n, err)
	}
	return read, json.Unmarshal(read[lengthSize:], v)
}
