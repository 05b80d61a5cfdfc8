// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package metrics

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/burin-labs/nomad-driver-harn/internal/scrape"
)

func TestMain(m *testing.M) {
	retryPeriod = 20 * time.Millisecond
	readTimeout = time.Hour // none is served because others were given up
	os.Exit(m.Run())
}

func made() *Metrics {
	return New(Options{Version: "1", Fields: []string{"user"}, Kinds: []string{"fs"}, Running: func() int { return 3 }})
}

// heard is what a server has said.
type heard struct {
	lock sync.Mutex
	text []string
}

func (h *heard) say(message string, args ...any) {
	h.lock.Lock()
	defer h.lock.Unlock()
	h.text = append(h.text, fmt.Sprint(append([]any{message, " "}, args...)...))
}
func (h *heard) Info(message string, args ...any) { h.say(message, args...) }
func (h *heard) Warn(message string, args ...any) { h.say(message, args...) }

func (h *heard) all() string {
	h.lock.Lock()
	defer h.lock.Unlock()
	return strings.Join(h.text, "\n")
}

// until waits for a condition.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for range 1000 {
		if condition() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal(what)
}

// serving starts a server. end ends it, and returns when it has ended.
func serving(t *testing.T, m *Metrics, address string) (said *heard, end func()) {
	t.Helper()
	a, err := ParseAddress(address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	said, ended := &heard{}, make(chan struct{})
	go func() {
		defer close(ended)
		m.Serve(ctx, a, said)
	}()
	end = func() { cancel(); <-ended }
	t.Cleanup(end)
	return said, end
}

func answers(t *testing.T, address string) bool {
	t.Helper()
	_, err := scrape.Get(t.Context(), address)
	return err == nil
}

// ownDir is a directory that only this user can change.
func ownDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "harn-metrics-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestParseAddress(t *testing.T) {
	for _, good := range []string{"unix:/run/x.sock", "127.0.0.1:9746", "127.1.2.3:1", "[::1]:9746"} {
		if a, err := ParseAddress(good); err != nil || a.String() != good {
			t.Errorf("%q: %v, %v", good, a, err)
		}
	}
	for bad, part := range map[string]string{
		"":                                  "expected unix:/PATH",
		"9746":                              "expected unix:/PATH",
		":9746":                             "expected unix:/PATH",
		"localhost:9746":                    "expected unix:/PATH",
		"0.0.0.0:9746":                      "no loopback address",
		"[::]:9746":                         "no loopback address",
		"192.0.2.1:9746":                    "no loopback address",
		"[::1%lo]:9746":                     "no loopback address",
		"127.0.0.1:0":                       "port 0",
		"127.0.0.1:65536":                   "expected unix:/PATH",
		"unix:":                             "absolute path",
		"unix:x.sock":                       "absolute path",
		"unix:/run/../x":                    "absolute path",
		"unix:/":                            "absolute path",
		"unix:/" + strings.Repeat("x", 107): "at most 107",
		"/run/x.sock":                       "expected unix:/PATH",
	} {
		if _, err := ParseAddress(bad); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q: %v, want an error with %q", bad, err, part)
		}
	}
}

func TestServe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := l.Addr().String()
	l.Close()
	for _, address := range []string{"unix:" + ownDir(t) + "/m.sock", free} {
		m := made()
		m.Refused("user")
		m.Refused("whatever a job says\n")
		said, end := serving(t, m, address)
		until(t, "it does not answer: "+said.all(), func() bool { return answers(t, address) })
		s, err := scrape.Get(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]float64{
			`harn_task_refusals_total{field="user"}`: 1, `harn_task_refusals_total{field="other"}`: 1, "harn_tasks_running": 3,
			`harn_denials_total{kind="fs"}`: 0, `harn_plugin_info{version="1"}`: 1,
		} {
			if got, there := s[name]; !there || got != want {
				t.Errorf("%s is %v, want %v, in %v", name, got, want, s)
			}
		}
		if s["process_resident_memory_bytes"] == 0 {
			t.Error("the plugin's memory is not served")
		}
		end()
		if answers(t, address) {
			t.Error("it answers after its end")
		}
	}
}

// What a killed plugin has left is replaced; what is something else is not.
func TestSocket(t *testing.T) {
	dir := ownDir(t)
	socket := filepath.Join(dir, "m.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	said, end := serving(t, made(), "unix:"+socket)
	until(t, "the socket of a killed plugin is in its way: "+said.all(), func() bool { return answers(t, "unix:"+socket) })
	if info, err := os.Lstat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v, want that root alone connects", info.Mode(), err)
	}
	end()
	if _, err := os.Lstat(socket); err == nil {
		t.Error("the socket is left")
	}

	if err := os.WriteFile(socket, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	said, end = serving(t, made(), "unix:"+socket)
	until(t, "a file in the way is not named", func() bool { return strings.Contains(said.all(), "no socket") })
	if text, err := os.ReadFile(socket); err != nil || string(text) != "data" {
		t.Errorf("the file is %q, %v", text, err)
	}
	if err := os.Remove(socket); err != nil {
		t.Fatal(err)
	}
	until(t, "it does not go on", func() bool { return answers(t, "unix:"+socket) })
	if n := strings.Count(said.all(), "no socket"); n != 1 {
		t.Errorf("it said %d times what is wrong", n)
	}
	end()

	// Another program's.
	if l, err = net.Listen("unix", socket); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	said, end = serving(t, made(), "unix:"+socket)
	until(t, "another program is not named", func() bool { return strings.Contains(said.all(), "another program listens") })
	if conn, err := net.Dial("unix", socket); err != nil {
		t.Errorf("the other program's socket: %v", err)
	} else {
		conn.Close()
	}
	end()

	// Where others could replace it.
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	said, _ = serving(t, made(), "unix:"+dir+"/n.sock")
	until(t, "a directory of everybody's is not refused", func() bool { return strings.Contains(said.all(), "the directory of the socket") })
}

// Of two processes one serves, and the other when that has ended.
func TestTwoServers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := l.Addr().String()
	l.Close()
	for _, address := range []string{"unix:" + ownDir(t) + "/m.sock", free} {
		first, second := made(), made()
		first.Refused("user")
		_, end := serving(t, first, address)
		until(t, "the first does not answer", func() bool { return answers(t, address) })
		said, _ := serving(t, second, address)
		until(t, "the second does not say that it waits", func() bool { return strings.Contains(said.all(), "not served") })
		count := func() float64 {
			s, err := scrape.Get(t.Context(), address)
			if err != nil {
				return -1
			}
			return s[`harn_task_refusals_total{field="user"}`]
		}
		if got := count(); got != 1 {
			t.Errorf("%s: %v, want the first one's", address, got)
		}
		end()
		until(t, "the second does not take over", func() bool { return count() == 0 })
	}
}

// Whoever holds connections, and sends nothing, half a request, or reads no answer, keeps
// nobody else from the numbers.
func TestHeldConnections(t *testing.T) {
	address := "unix:" + ownDir(t) + "/m.sock"
	_, _ = serving(t, made(), address)
	until(t, "it does not answer", func() bool { return answers(t, address) })
	for name, sends := range map[string]string{
		"nothing": "", "half a request": "GET /metrics HTTP/1.1\r\nHost: x\r\n", "a request": "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		for range 4 * maxConnections {
			conn, err := net.Dial("unix", strings.TrimPrefix(address, unixPrefix))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, _ = conn.Write([]byte(sends)) // it may be closed by now
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		if _, err := scrape.Get(ctx, address); err != nil {
			t.Errorf("%d connections that sent %s: %v", 4*maxConnections, name, err)
		}
		cancel()
	}
}

// A connection is for one request: none is idle.
func TestOneRequest(t *testing.T) {
	address := "unix:" + ownDir(t) + "/m.sock"
	_, _ = serving(t, made(), address)
	until(t, "it does not answer", func() bool { return answers(t, address) })
	conn, err := net.Dial("unix", strings.TrimPrefix(address, unixPrefix))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Errorf("%v, want the end of the connection after the answer", err)
	}
}

// Nothing is counted where nobody reads.
func TestNil(*testing.T) {
	var m *Metrics
	m.Started(time.Second)
	m.Refused("user")
	m.Recovered(nil)
	m.Denied("fs", 1)
	m.DeniedEgress(1)
	m.Session(Exec)()
	m.Healthy(true)
}
