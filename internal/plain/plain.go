// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package plain makes text fit to be shown to a person that somebody else may
// have chosen: names of files, users and processes, values of jobs, errors of the
// kernel that hold a path. Such text can hold escape sequences of a terminal, line
// breaks that forge a message, characters that turn the direction of writing, bytes
// that are no UTF-8; and a name can be as long as a page.
//
// [Name] is for one name within a message. [Line], [Text], [Error] and [JSON] are the
// last line of defense, for whole messages where they leave the process: they know
// nothing of what is a name, so that they only make characters harmless.
package plain

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	// maxName is the length in bytes up to which [Name] shows all of a name. The
	// kernel takes paths of up to 4096 bytes, and arguments of 128 KiB.
	maxName = 256
	// maxLine is the length in bytes up to which [Line] shows all of a message: a
	// dozen lines of a terminal.
	maxLine = 2048
)

// Name returns a name as a message can hold it: as it is if it is of printable
// characters without a space, a quote or a backslash; otherwise quoted, as a Go
// string literal. Of a name of more than 256 bytes, the middle is left out, and
// its length given.
func Name(s string) string {
	quoted := Quote(s)
	if s == "" || quoted != `"`+s+`"` || strings.Contains(s, " ") {
		return quoted
	}
	return s
}

// Quote is [Name] that is always quoted: for values that a person has written.
func Quote(s string) string {
	if len(s) <= maxName {
		return strconv.Quote(s)
	}
	const head, tail = 160, 64
	return fmt.Sprintf("%s...%s (%d bytes)", strconv.Quote(upTo(s, head)), strconv.Quote(from(s, len(s)-tail)), len(s))
}

// Names is [Name] of each, with commas between them; of more than 16, only the
// first are named.
func Names(list []string) string {
	const most = 16
	var shown []string
	for _, s := range list[:min(len(list), most)] {
		shown = append(shown, Name(s))
	}
	text := strings.Join(shown, ", ")
	if rest := len(list) - most; rest > 0 {
		text += fmt.Sprintf(" and %d more", rest)
	}
	return text
}

// Line returns a message as one line: what is not printable is escaped as in a Go
// string literal. Of more than 2048 bytes, the middle is left out: a message ends
// with its reason.
func Line(s string) string {
	s = escape(s, "")
	if len(s) > maxLine {
		const head, tail = 1400, 500
		s = upTo(s, head) + fmt.Sprintf(" ... (%d bytes left out) ... ", len(s)-head-tail) + from(s, len(s)-tail)
	}
	return s
}

// Text is [Line] for text of any length and of several lines: line breaks and tabs
// stay.
func Text(s string) string { return escape(s, "\n\t") }

// Error returns an error whose text is one line, as [Line] makes it: err itself if
// it is one already.
func Error(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if line := Line(text); line != text {
		return &lineError{line, err}
	}
	return err
}

type lineError struct {
	text string
	err  error
}

func (e *lineError) Error() string { return e.text }
func (e *lineError) Unwrap() error { return e.err }

// Join is [errors.Join] on one line. It returns nil if all are nil.
func Join(errs ...error) error {
	var j joined
	for _, err := range errs {
		if err != nil {
			j = append(j, err)
		}
	}
	switch len(j) {
	case 0:
		return nil
	case 1:
		return j[0]
	}
	return j
}

type joined []error

func (j joined) Error() string {
	texts := make([]string, len(j))
	for i, err := range j {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (j joined) Unwrap() []error { return j }

// Is reports whether a string is text that can be shown as it is: printable
// characters alone.
func Is(s string) bool { return escape(s, "") == s }

// escape escapes what is not printable, but the characters of keep.
func escape(s, keep string) string {
	clean := true
	for i := 0; i < len(s) && clean; i++ {
		clean = s[i] >= ' ' && s[i] <= '~'
	}
	if clean {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case strconv.IsPrint(r), strings.ContainsRune(keep, r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		s = s[size:]
	}
	return b.String()
}

// upTo is the beginning of s, of at most n bytes: no character is cut.
func upTo(s string, n int) string {
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// from is s from n on, or from the next character's beginning.
func from(s string, n int) string {
	for n < len(s) && !utf8.RuneStart(s[n]) {
		n++
	}
	return s[n:]
}
