// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package plain

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"reflect"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// hostile are texts that do something to a terminal, or to who reads a message.
var hostile = []string{
	"x\x1b[31mRED", "a\nFAKE: Terminated", "a\rb", "tab\tx", "bell\a", "del\x7f", "c1\u009b31m", "nel\u0085",
	"bidi\u202egpj", "isolate\u2066", "mark\u200f", "zero\u200bwidth", "bom\ufeff", "separator\u2028", "raw\xff\xfe", "cut\xe2\x80",
	"tag\U000e0001", "\x00",
}

// harmless is the oracle, written from Unicode's categories: no control, format,
// surrogate, private or unassigned character, and no separator but the space.
func harmless(s string, also string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if strings.ContainsRune(also, r) || r == ' ' {
			continue
		}
		if unicode.In(r, unicode.C, unicode.Z) {
			return false
		}
	}
	return true
}

func TestNothingHostilePasses(t *testing.T) {
	for _, s := range append(hostile, strings.Join(hostile, "/"), strings.Repeat("é\x1b", 5000)) {
		if harmless(s, "") {
			t.Errorf("%q is harmless: it tests nothing", s)
		}
		for what, got := range map[string]string{"Name": Name(s), "Line": Line(s), "Names": Names([]string{s, s}), "Error": Error(errors.New(s)).Error()} {
			if !harmless(got, "") {
				t.Errorf("%s(%.60q) = %.60q", what, s, got)
			}
			if len(got) > maxLine+100 {
				t.Errorf("%s: %d bytes", what, len(got))
			}
		}
		if got := Text(s); !harmless(got, "\n\t") {
			t.Errorf("Text(%.60q) = %.60q", s, got)
		}
		data, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var back, direct string
		if err := errors.Join(json.Unmarshal(JSON(data), &back), json.Unmarshal(data, &direct)); err != nil || back != direct || !harmless(string(JSON(data)), "") {
			t.Errorf("JSON(%.60q): %.60q, %v", s, JSON(data), err)
		}
	}
}

func TestOrdinaryTextStays(t *testing.T) {
	for _, s := range []string{"/srv/models", "grüße/日本", "a-b_c.d", "${x}"} {
		if Name(s) != s || Line(s) != s || Text(s) != s {
			t.Errorf("%s: %s, %s, %s", s, Name(s), Line(s), Text(s))
		}
	}
	for s, want := range map[string]string{
		"": `""`, "a b": `"a b"`, `a"b`: `"a\"b"`, `a\nb`: `"a\\nb"`, "a\nb": `"a\nb"`, "a\x1b": `"a\x1b"`,
	} {
		if got := Name(s); got != want {
			t.Errorf("Name(%q) = %s, expected %s", s, got, want)
		}
	}
	if got := Line("one: \"a b\": two"); got != "one: \"a b\": two" {
		t.Errorf("got %s", got)
	}
	if got := Text("a\n\tb"); got != "a\n\tb" {
		t.Errorf("got %q", got)
	}
}

// What is long keeps its end, where the reason is.
func TestLongText(t *testing.T) {
	err := &fs.PathError{Op: "open", Path: "/begin" + strings.Repeat("x", 4000), Err: os.ErrNotExist}
	got := Error(err)
	if text := got.Error(); len(text) > maxLine || !strings.HasPrefix(text, "open /begin") || !strings.HasSuffix(text, ": file does not exist") {
		t.Errorf("%d bytes: %s", len(text), text)
	}
	if !errors.Is(got, fs.ErrNotExist) || !same(Error(os.ErrClosed), os.ErrClosed) || Error(nil) != nil {
		t.Error("it is not the same error")
	}
	if got := Name(strings.Repeat("é", 4000)); len(got) > maxName+20 || !strings.Contains(got, "(8000 bytes)") {
		t.Errorf("%d bytes: %s", len(got), got)
	}
}

func same(a, b error) bool { return reflect.DeepEqual(a, b) }

func TestJoin(t *testing.T) {
	if Join(nil, nil) != nil || !same(Join(nil, os.ErrClosed), os.ErrClosed) {
		t.Error("of one or none")
	}
	err := Join(os.ErrClosed, os.ErrExist)
	if !errors.Is(err, os.ErrExist) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%q", err)
	}
}

func FuzzLine(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		// Characters that this Go does not know yet are printable to nobody.
		for _, got := range []string{Name(s), Line(s)} {
			if !harmless(got, "") {
				t.Errorf("%q", got)
			}
		}
	})
}
