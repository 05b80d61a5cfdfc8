// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Subjects of egress, and what is measured of them.
const (
	directly = "without egress"
	byName   = "egress"
	byProxy  = "HTTP CONNECT by tinyproxy"

	egressStart      = "StartTask called to returned"
	egressFirst      = "first answer of a server, with the lookup of its name"
	egressStream     = "one stream"
	egressMany       = "1,000 connections at once, a byte to and fro on each"
	egressManyMemory = "private memory of the forwarder with 1,000 connections"
	egressCPU        = "CPU of the forwarder, or proxy"
	egressMemory     = "private memory per task: supervisor, keeper, forwarder"
	egressServer     = "model.example.com"
)

// egress measures tasks with hosts by name, in turns with the same ones without.
func (b *bench) egress() error {
	proxy, err := exec.LookPath("tinyproxy")
	if err != nil {
		return fmt.Errorf("%w: run \"make setup\"", err)
	}
	hosts := filepath.Join(b.dir, "hosts")
	if err := os.WriteFile(hosts, []byte("127.0.0.1 localhost "+egressServer+"\n"), 0o644); err != nil {
		return err
	}
	if err := unix.Mount(hosts, "/etc/hosts", "", unix.MS_BIND, ""); err != nil {
		return err
	}
	defer func() { _ = unix.Unmount("/etc/hosts", unix.MNT_DETACH) }()
	port, stop, err := egressService()
	if err != nil {
		return err
	}
	defer stop()
	proxyPort, proxyPID, stopProxy, err := startProxy(proxy, b.dir)
	if err != nil {
		return err
	}
	defer stopProxy()
	driver, err := b.startDriver(harn, filepath.Join(b.dir, "egress"))
	if err != nil {
		return err
	}
	defer driver.stop()
	e := &egressBench{bench: b, driver: driver, port: port, proxyPort: proxyPort, proxyPID: proxyPID, samples: map[[2]string][]float64{}}
	for _, step := range []func() error{e.starts, e.answers, e.streams, e.many, e.memory} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

type egressBench struct {
	*bench
	driver    *driverProcess
	port      int
	proxyPort int
	proxyPID  int
	samples   map[[2]string][]float64
}

// config is a task with egress, or the same one without.
func (e *egressBench) config(subject string, command ...string) map[string]any {
	policy := map[string]any{"side_effect_level": "network"}
	if subject == byName {
		policy["egress"] = map[string]any{"allow": []string{fmt.Sprintf("%s:%d", egressServer, e.port), fmt.Sprintf("127.0.0.1:%d", e.port)}}
	}
	return map[string]any{"command": command[0], "args": command[1:], "capability_policy": policy}
}

func (e *egressBench) sample(what, subject string, values ...float64) {
	key := [2]string{what, subject}
	e.samples[key] = append(e.samples[key], values...)
}

func (e *egressBench) report(what, unit string, subjects ...string) {
	for _, subject := range subjects {
		e.bench.report.add("egress", what, unit, subject, e.samples[[2]string{what, subject}]...)
	}
}

// run runs a task to its end, and returns what it has written.
func (e *egressBench) run(subject string, command ...string) (string, error) {
	t, err := e.driver.prepare(e.config(subject, command...), true)
	if err != nil {
		return "", err
	}
	defer t.destroy()
	return t.result()
}

func (e *egressBench) starts() error {
	const warmup = 2
	for i := range e.bench.starts + warmup {
		for _, subject := range []string{directly, byName} {
			t, err := e.driver.prepare(e.config(subject, "/bin/true"), false)
			if err != nil {
				return err
			}
			time.Sleep(settle)
			began := time.Now()
			err = t.start()
			took := milliseconds(time.Since(began))
			if err == nil {
				err = t.wait()
			}
			t.destroy()
			if err != nil {
				return err
			}
			if i >= warmup {
				e.sample(egressStart, subject, took)
			}
		}
	}
	e.report(egressStart, "ms", directly, byName)
	return nil
}

// answers measures new programs, each with its first connection.
func (e *egressBench) answers() error {
	url := fmt.Sprintf("http://%s:%d/", egressServer, e.port)
	script := fmt.Sprintf("for i in $(seq 10); do curl -s --noproxy '*' -o /dev/null -w '%%{time_starttransfer}\\n' %s; done", url)
	for range max(e.bench.starts/20, 1) {
		for _, subject := range []string{directly, byName} {
			text, err := e.run(subject, "/bin/bash", "-c", script)
			if err != nil {
				return fmt.Errorf("%s: %w: %q", subject, err, text)
			}
			for field := range strings.FieldsSeq(text) {
				seconds, err := strconv.ParseFloat(field, 64)
				if err != nil {
					return err
				}
				e.sample(egressFirst, subject, seconds*1000)
			}
		}
	}
	e.report(egressFirst, "ms", directly, byName)
	return nil
}

// streams measures one connection that takes all that there is.
func (e *egressBench) streams() error {
	bytes := 8 << 30
	if e.bench.report.Short {
		bytes = 1 << 30
	}
	gigabytes := float64(bytes) / 1e9
	rounds := max(e.bench.starts/40, 1)
	for range rounds {
		for _, subject := range []string{directly, byName, byProxy} {
			how := "--noproxy '*'"
			if subject == byProxy {
				how = fmt.Sprintf("-x http://127.0.0.1:%d -p", e.proxyPort)
			}
			script := fmt.Sprintf("curl -s -m 120 %s -o /dev/null -w '%%{size_download} %%{time_total}' http://%s:%d/%d; read -t 100 < <(sleep 100)", how, egressServer, e.port, bytes)
			t, err := e.driver.prepare(e.config(subject, "/bin/bash", "-c", script), true)
			if err != nil {
				return err
			}
			before := cpuOf([]int{e.proxyPID})
			rate, err := e.stream(t)
			switch {
			case err == nil && subject == byName:
				e.sample(egressCPU, subject, cpuOf(pidsOf(forwarderProcess)).Seconds()/gigabytes)
			case err == nil && subject == byProxy:
				e.sample(egressCPU, subject, (cpuOf([]int{e.proxyPID})-before).Seconds()/gigabytes)
			}
			t.destroy()
			if err != nil {
				return fmt.Errorf("%s: %w", subject, err)
			}
			e.sample(egressStream, subject, rate/1e9)
		}
	}
	e.report(egressStream, "GB/s", directly, byName, byProxy)
	e.report(egressCPU, "s/GB", byProxy, byName)
	return nil
}

// stream starts a task, and reads how fast it was while it still runs.
func (e *egressBench) stream(t *task) (bytesPerSecond float64, err error) {
	if err := t.start(); err != nil {
		return 0, err
	}
	text := make([]byte, 200)
	n, err := t.output.Read(text)
	if err != nil {
		return 0, err
	}
	var size, seconds float64
	if _, err := fmt.Sscan(string(text[:n]), &size, &seconds); err != nil || size < 1e9 {
		return 0, fmt.Errorf("the task wrote %q", text[:n])
	}
	return size / seconds, nil
}

const manyScript = `
import socket, sys, time
began = time.time()
sockets = [socket.create_connection(("%s", %d)) for _ in range(1000)]
for s in sockets: s.sendall(b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n")
for s in sockets: assert s.recv(4)
print(time.time() - began, flush=True)
sys.stdin.read()
time.sleep(60)
`

// many measures connections that are open at the same time.
func (e *egressBench) many() error {
	for range max(e.bench.starts/40, 1) {
		for _, subject := range []string{directly, byName} {
			config := e.config(subject, "/usr/bin/python3", "-c", fmt.Sprintf(manyScript, egressServer, e.port))
			config["ulimit"] = map[string]string{"nofile": "4096"}
			t, err := e.driver.prepare(config, true)
			if err != nil {
				return err
			}
			err = t.start()
			text, n := make([]byte, 100), 0
			if err == nil {
				n, err = t.output.Read(text)
			}
			if err == nil && subject == byName {
				e.sample(egressManyMemory, subject, memoryOf(pidsOf(forwarderProcess)).private/1000)
			}
			t.destroy()
			if err != nil {
				return fmt.Errorf("%s: %w", subject, err)
			}
			seconds, err := strconv.ParseFloat(strings.TrimSpace(string(text[:n])), 64)
			if err != nil {
				return err
			}
			e.sample(egressMany, subject, seconds*1000)
		}
	}
	e.report(egressMany, "ms", directly, byName)
	e.report(egressManyMemory, "kB", byName)
	return nil
}

// memory measures many tasks that do nothing.
func (e *egressBench) memory() error {
	for _, subject := range []string{directly, byName} {
		var tasks []*task
		for range e.counts.sleepers {
			t, err := e.driver.prepare(e.config(subject, "/bin/sleep", "1000"), false)
			if err == nil {
				tasks = append(tasks, t)
				err = t.start()
			}
			if err != nil {
				for _, t := range tasks {
					t.destroy()
				}
				return err
			}
		}
		time.Sleep(3 * time.Second)
		private := memoryOf(pidsOf(supervisorProcess, keeperProcess, forwarderProcess)).private
		e.sample(egressMemory, subject, private/float64(len(tasks))/1000)
		for _, t := range tasks {
			t.destroy()
		}
	}
	e.report(egressMemory, "kB", directly, byName)
	return nil
}

// egressService is the server that tasks connect to: as many bytes as the path says.
func egressService() (port int, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, nil, err
	}
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
		if err != nil {
			_, _ = io.WriteString(w, "hello\n")
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(n))
		buffer := make([]byte, 256<<10)
		for n > 0 {
			m, err := w.Write(buffer[:min(n, len(buffer))])
			if err != nil {
				return
			}
			n -= m
		}
	})}
	go func() { _ = s.Serve(l) }()
	return l.Addr().(*net.TCPAddr).Port, func() { _ = s.Close() }, nil
}

// startProxy starts Debian's tinyproxy, which passes on what CONNECT asks for.
func startProxy(program, dir string) (port, pid int, stop func(), err error) {
	ports, err := freePorts(1)
	if err != nil {
		return 0, 0, nil, err
	}
	port = ports[0]
	config := filepath.Join(dir, "tinyproxy.conf")
	text := fmt.Sprintf("Port %d\nListen 127.0.0.1\nTimeout 600\nMaxClients 2000\nLogLevel Critical\nLogFile \"%s/tinyproxy.log\"\n", port, dir)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return 0, 0, nil, err
	}
	cmd := exec.Command(program, "-d", "-c", config)
	if err := cmd.Start(); err != nil {
		return 0, 0, nil, err
	}
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	for range 100 {
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			c.Close()
			return port, cmd.Process.Pid, stop, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	stop()
	return 0, 0, nil, errors.New("tinyproxy does not listen")
}
