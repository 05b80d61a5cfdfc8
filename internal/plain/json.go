// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package plain

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// JSON returns valid JSON with all that is not printable escaped. encoding/json
// leaves characters alone that JSON admits but a terminal obeys: DEL, the control
// characters from U+0080 on, those that turn the direction of writing.
func JSON(data []byte) []byte {
	var b bytes.Buffer
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		switch {
		case r == '\n', strconv.IsPrint(r): // JSON has line breaks between values only
			b.Write(data[:size])
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		data = data[size:]
	}
	return b.Bytes()
}
