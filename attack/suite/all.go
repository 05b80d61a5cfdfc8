// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// timeout is for one attack. A hang is no success, and no way to hide one.
func timeout() time.Duration {
	if seconds, err := strconv.Atoi(os.Getenv("ATTACK_TIMEOUT")); err == nil {
		return time.Duration(seconds) * time.Second
	}
	return 5 * time.Second
}

// all runs every attack in a process of its own, and writes one line of JSON
// for each. ATTACK_ONLY limits it to those whose control is run as root, or not.
func all(file string) error {
	out, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(out)
	only := os.Getenv("ATTACK_ONLY")
	for _, name := range slices.Sorted(maps.Keys(attacks)) {
		a := attacks[name]
		if a.Alone || only == "root" && !a.Root || only == "user" && a.Root || !selected(name) {
			continue
		}
		if err := encoder.Encode(separately(name, "/proc/self/exe", "run", name)); err != nil {
			return err
		}
	}
	// Their list says who the control is run as: the host passes the right ones.
	for program := range strings.FieldsSeq(os.Getenv("ATTACK_PROGRAMS")) {
		name := strings.TrimSuffix(filepath.Base(program), filepath.Ext(program))
		if !selected(name) {
			continue
		}
		if err := encoder.Encode(separately(name, program)); err != nil {
			return err
		}
	}
	return out.Close()
}

// selected reports whether ATTACK_RUN, parts of names, selects an attack.
func selected(name string) bool {
	filter := os.Getenv("ATTACK_RUN")
	return filter == "" || slices.ContainsFunc(strings.Fields(filter), func(part string) bool { return strings.Contains(name, part) })
}

// preparation is the answer of an attack that did not come to what it is about.
const preparation = "preparation"

func separately(name string, command ...string) Result {
	ctx, cancel := context.WithTimeout(context.Background(), timeout())
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if at("CONTROL") == "1" && os.Getuid() == 0 {
		// What it mounts or renames must not disturb the next one, nor the host.
		cmd.SysProcAttr.Unshareflags = unix.CLONE_NEWNS | unix.CLONE_NEWUTS
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if cmd.Process != nil {
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) // what it left
	}

	r := Result{Name: name}
	decoder := json.NewDecoder(&stdout)
	for decoder.More() {
		if decoder.Decode(&r) != nil {
			break
		}
	}
	exited := new(exec.ExitError)
	switch {
	case ctx.Err() != nil:
		r.Answer = "timeout"
	case errors.As(err, &exited) && exited.Sys().(syscall.WaitStatus).Signaled():
		r.Answer = unix.SignalName(exited.Sys().(syscall.WaitStatus).Signal())
	case errors.As(err, &exited) && exited.ExitCode() == exitPreparation && command[0] == "/proc/self/exe":
		r.Answer, r.Detail = preparation, strings.TrimSpace(stderr.String())
	case r.Answer != "":
	case err == nil: // a program in C, or a script
		r.Answer = ok
	case exited.ExitCode() >= 0:
		r.Answer, r.Detail = fmt.Sprintf("exit %d", exited.ExitCode()), strings.TrimSpace(stderr.String())
		if number, isNumber := strings.CutPrefix(r.Detail, "errno "); isNumber {
			if n, err := strconv.Atoi(number); err == nil {
				r.Answer, r.Detail = unix.ErrnoName(syscall.Errno(n)), ""
			}
		}
	default:
		r.Answer = err.Error()
	}
	return r
}
