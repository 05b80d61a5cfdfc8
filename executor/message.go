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
// pipe stays open, and takes no more memory than that.

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

// readMessage decodes a message.
func readMessage(from io.Reader, v any) error {
	var length [lengthSize]byte
	if _, err := io.ReadFull(from, length[:]); err != nil {
		return fmt.Errorf("its length: %w", err)
	}
	return readBody(from, length, v)
}

// readBody decodes the rest of a message, whose length was read.
func readBody(from io.Reader, length [lengthSize]byte, v any) error {
	n := binary.BigEndian.Uint32(length[:])
	if n > maxMessage {
		return fmt.Errorf("a message of %d bytes, expected at most %d", n, maxMessage)
	}
	data := make([]byte, n)
	if _, err := io.ReadFull(from, data); err != nil {
		return fmt.Errorf("its %d bytes: %w", n, err)
	}
	return json.Unmarshal(data, v)
}
