// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"syscall"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

// forwarders are the processes of a job's task that make its connections.
func forwarders(j *job) (pids []int) {
	all := kerneltest.Processes()
	for _, p := range all {
		if p.Args[0] != "harn-egress" {
			continue
		}
		keeper := slices.IndexFunc(all, func(k kerneltest.Process) bool { return k.PID == p.Parent() })
		if keeper >= 0 && slices.Contains(supervisors(j), all[keeper].Parent()) {
			pids = append(pids, p.PID)
		}
	}
	return pids
}

// A transfer goes on, and nothing of it is lost, while plugin and agent end and come
// again. When its forwarder is killed, it ends with an error, and the next one works.
func TestEgressTransfersThroughKills(t *testing.T) {
	a := newClient(t, shared.server, poolName(t), options{})
	knowNames(t)
	size := int64(1 << 30)
	if inVM {
		size = 64 << 20 // an emulated processor copies slowly
	}
	// At each quarter, the server waits for what happens to the driver.
	reached, proceed := make(chan struct{}), make(chan struct{})
	const quarters = 4
	sum := sha256.New()
	model := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/after" {
			fmt.Fprintln(w, "after")
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(size))
		block := make([]byte, 1<<20)
		for sent := int64(0); sent < size; sent += int64(len(block)) {
			if sent > 0 && sent%(size/quarters) == 0 {
				reached <- struct{}{}
				<-proceed
			}
			block[0] = byte(sent >> 20)
			if r.URL.Path == "/whole" {
				sum.Write(block)
			}
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}))
	defer model.Close()
	_, port, _ := net.SplitHostPort(model.Listener.Addr().String())
	j := a.submit(t, batch("egress-kills", script(fmt.Sprintf(`
get() { curl -sS --noproxy '*' http://model.example.com:%s/$1; }
get whole | sha256sum
get cut > /dev/null 2>&1 || echo it was cut
get after; echo end`, port), fmt.Sprintf(`
        capability_policy {
          side_effect_level = "network"
          egress {
            allow = ["model.example.com:%s", "127.0.0.1:%[1]s"]
          }
        }`, port)))).untilRunning()
	next := func(what func()) {
		<-reached
		what()
		proceed <- struct{}{}
	}
	next(func() {
		plugin := a.plugin(t)
		kill(t, plugin)
		eventually(t, "the plugin was not started again", func() bool { return a.plugin(t) != plugin })
	})
	next(func() { a.stop(t, syscall.SIGKILL) })
	next(func() { a.start(t) })
	j.untilLogged("-")
	next(func() {
		pids := forwarders(j)
		if len(pids) != 1 {
			t.Errorf("the task has the forwarders %v, expected one", pids)
		}
		for _, pid := range pids {
			kill(t, pid)
		}
	})
	drained := make(chan struct{})
	go func() { // the server has written more into buffers, or finds that nobody reads
		for {
			select {
			case <-reached:
				proceed <- struct{}{}
			case <-drained:
				return
			}
		}
	}()
	j.untilDead()
	close(drained)
	if want := fmt.Sprintf("%x  -\nit was cut\nafter\nend\n", sum.Sum(nil)); j.logs("stdout") != want {
		t.Errorf("%q, expected %q; stderr %q", j.logs("stdout"), want, j.logs("stderr"))
	}
}
