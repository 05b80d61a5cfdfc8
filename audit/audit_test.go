// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package audit

import (
	"bufio"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// recorded feeds records that a kernel has written.
func recorded(t testing.TB, a *Assembler, file string, without ...uint16) []Event {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []Event
next:
	for lines := bufio.NewScanner(f); lines.Scan(); {
		number, text, _ := strings.Cut(lines.Text(), " ")
		kind, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range without {
			if uint16(kind) == w {
				continue next
			}
		}
		events, err := a.Add(uint16(kind), text)
		if err != nil {
			t.Error(err)
		}
		all = append(all, events...)
	}
	return all
}

func describe(events []Event) (all []string) {
	for _, e := range events {
		for _, d := range e.Denials {
			all = append(all, d.Command+": "+d.String())
		}
	}
	return all
}

func TestEventsOfARealKernel(t *testing.T) {
	var a Assembler
	events := recorded(t, &a, "testdata/linux-7.3.txt")
	if a.Pending() {
		t.Errorf("incomplete: %+v", a.Flush())
	}
	got := describe(events)
	for _, want := range []string{
		"cat: fs.read_file /etc/hostname",
		"touch: fs.make_reg /tmp",
		"mount: the system call mount",
		"python3: net.connect_tcp port 8080",
		"python3: net.bind_tcp port 81",
		"python3: fs.remove_file,fs.refer /usr/bin",
		"python3: fs.make_reg,fs.refer /tmp",
		"python3: fs.execute,fs.read_file /etc/hostname",
	} {
		found := false
		for _, g := range got {
			found = found || g == want
		}
		if !found {
			t.Errorf("no %q in:\n%s", want, strings.Join(got, "\n"))
		}
	}
	first, last := events[0], events[len(events)-1]
	if first.Creator != 184 || first.PID != 198 || first.Parent != 184 || first.UID != 65534 || first.Domain != 0x1a2beabcf {
		t.Errorf("first event: %+v", first)
	}
	if !last.Ended || last.Domain != first.Domain || len(last.Denials) != 0 {
		t.Errorf("last event: %+v", last)
	}
}

// Without the records of the system call, what was denied is known all the same.
func TestEventsWithoutEnd(t *testing.T) {
	var whole, bare Assembler
	want := describe(recorded(t, &whole, "testdata/linux-7.3.txt"))
	events := append(recorded(t, &bare, "testdata/linux-7.3.txt", typeSyscall, typeEnd), bare.Flush()...)
	if got := describe(events); len(got) != len(want) {
		t.Errorf("%d denials, expected %d", len(got), len(want))
	}
}

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		text string
		want map[string]string
	}{
		{`audit(1.002:3): path="/a" dev="x" ino=4`, map[string]string{"path": "/a", "dev": "x", "ino": "4"}},
		{`audit(1.002:3): path=2F6120620A dev="x"`, map[string]string{"path": "/a b\n", "dev": "x"}},
		{`audit(1.002:3): path="2F61"`, map[string]string{"path": "2F61"}}, // quoted: it is meant so
		{`audit(1.002:3): path="/a domain=1" domain=2`, map[string]string{"path": "/a domain=1", "domain": "2"}},
		{`audit(1.002:3): uid=1 uid=0`, map[string]string{"uid": "1"}}, // what was first, stands
		{`audit(1.002:3): `, map[string]string{}},
	} {
		r, err := parse(tc.text)
		if err != nil || r.serial != "3" || r.at.UnixMilli() != 1002 || !reflect.DeepEqual(r.fields, tc.want) {
			t.Errorf("%s: %+v, %v", tc.text, r, err)
		}
	}
	for _, text := range []string{"", "audit", "audit(1:2): a=b", "audit(1.x:2): a=b", `audit(1.002:3): path="/a`} {
		if r, err := parse(text); err == nil {
			t.Errorf("%q: %+v, expected an error", text, r)
		}
	}
}

func TestTasksCannotWriteControlCharacters(t *testing.T) {
	d := Denial{Kind: FS, Rights: []string{"fs.read_file"}, Path: "/a\n\x1b[31m b"}
	if got, want := d.String(), `fs.read_file "/a\n\x1b[31m b"`; got != want {
		t.Errorf("got %s, expected %s", got, want)
	}
}

func FuzzAssembler(f *testing.F) {
	f.Add(uint16(typeLandlockAccess), `audit(1.002:3): domain=1 blockers=fs.refer path="/usr/bin"`)
	f.Add(uint16(typeLandlockDomain), `audit(1.002:3): domain=1 status=allocated pid=1 uid=0`)
	f.Add(uint16(typeSeccomp), `audit(1.002:3): pid=1 comm="x" arch=c000003e syscall=165`)
	f.Fuzz(func(t *testing.T, kind uint16, text string) {
		var a Assembler
		for range 3 {
			_, _ = a.Add(kind, text)
		}
		for _, e := range a.Flush() {
			for _, d := range e.Denials {
				_ = d.String()
			}
		}
		if a.Pending() {
			t.Error("flushed, and something is left")
		}
	})
}
