// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package audit

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The types of records that matter here, linux/audit.h.
const (
	typeSyscall        = 1300
	typeEnd            = 1320
	typeSeccomp        = 1326
	typeLandlockAccess = 1423
	typeLandlockDomain = 1424
)

// record is one record: what is common to all, and its fields.
type record struct {
	serial string // of the event that it belongs to
	at     time.Time
	fields map[string]string
}

// parse reads "audit(SECONDS.MILLISECONDS:SERIAL): NAME=VALUE ...". Values that
// a process can choose come in quotes, or in hexadecimal if they hold a quote,
// a space or a control character (audit_log_untrustedstring of kernel/audit.c).
func parse(text string) (record, error) {
	r := record{fields: map[string]string{}}
	head, rest, ok := strings.Cut(text, "): ")
	stamp, serial, ok2 := strings.Cut(strings.TrimPrefix(head, "audit("), ":")
	seconds, millis, ok3 := strings.Cut(stamp, ".")
	s, err1 := strconv.ParseInt(seconds, 10, 64)
	ms, err2 := strconv.ParseInt(millis, 10, 64)
	if !strings.HasPrefix(head, "audit(") || !ok || !ok2 || !ok3 || err1 != nil || err2 != nil {
		return r, fmt.Errorf("audit: record %.60q does not begin with audit(TIME:SERIAL)", text)
	}
	r.serial, r.at = serial, time.Unix(s, ms*int64(time.Millisecond))
	for rest = strings.TrimLeft(rest, " "); rest != ""; rest = strings.TrimLeft(rest, " ") {
		name, after, ok := strings.Cut(rest, "=")
		if !ok || strings.Contains(name, " ") {
			_, rest, _ = strings.Cut(rest, " ") // a word that is no field
			continue
		}
		var value string
		if quoted, ok := strings.CutPrefix(after, `"`); ok {
			if value, rest, ok = strings.Cut(quoted, `"`); !ok {
				return r, fmt.Errorf("audit: record %.60q: the value of %s has no end", text, name)
			}
		} else {
			value, rest, _ = strings.Cut(after, " ")
			if name == "path" || name == "comm" || name == "exe" || name == "sun_path" {
				if plain, err := hex.DecodeString(value); err == nil {
					value = string(plain)
				}
			}
		}
		if _, again := r.fields[name]; !again { // the kernel's own come first
			r.fields[name] = value
		}
	}
	return r, nil
}

// number returns a field's value, or -1.
func (r *record) number(name string) int {
	n, err := strconv.Atoi(r.fields[name])
	if err != nil {
		return -1
	}
	return n
}
