// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The kernel says what is too long; the message names it.
func TestTooBig(t *testing.T) {
	t.Parallel()
	most := maxArgPages*os.Getpagesize() - 1
	for name, tc := range map[string]struct {
		args, env []string
		want      string // "" if the kernel takes it
	}{
		"argument of the most":  {args: []string{"true", strings.Repeat("x", most)}},
		"argument":              {args: []string{"true", "a", strings.Repeat("x", most+1), "b"}, want: "argument 2 of 3 (131072 bytes)"},
		"variable of the most":  {args: []string{"true"}, env: []string{"BIG=" + strings.Repeat("x", most-4)}},
		"variable":              {args: []string{"true"}, env: []string{"A=b", "BIG=" + strings.Repeat("x", most-3)}, want: "the variable BIG (131072 bytes)"},
		"a variable's odd name": {args: []string{"true"}, env: []string{"B\nG=" + strings.Repeat("x", most)}, want: `the variable "B\nG"`},
		"all together":          {args: append([]string{"true"}, many(most, 60)...), env: []string{"A=b"}, want: "61 arguments and 1 variables have 786"},
	} {
		if os.Getpagesize() != 4096 && tc.want != "" {
			tc.want, _, _ = strings.Cut(tc.want, " (1")
		}
		program, err := exec.LookPath("true")
		if err != nil {
			t.Fatal(err)
		}
		cmd := &exec.Cmd{Path: program, Args: tc.args, Env: tc.env}
		err = cmd.Run()
		if errors.Is(err, unix.E2BIG) != (tc.want != "") {
			t.Errorf("%s: the kernel says %v", name, err)
		}
		if err == nil {
			continue
		}
		got := hintExec(unix.E2BIG, User{}, &Process{Args: tc.args, Env: tc.env})
		if !strings.Contains(got, tc.want) || len(got) > 400 {
			t.Errorf("%s: %.500s, expected %s", name, got, tc.want)
		}
	}
}

func many(length, n int) (list []string) {
	for range n {
		list = append(list, strings.Repeat("y", length))
	}
	return list
}

// A link on the way to a mount's source is named: it may have been there always.
func TestSourceBehindALink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := errors.Join(os.Mkdir(dir+"/real", 0o755), os.WriteFile(dir+"/real/x", nil, 0o644), os.Symlink("real\x1b[31m", dir+"/link"), os.Symlink("real", dir+"/alias")); err != nil {
		t.Fatal(err)
	}
	for source, want := range map[string]string{
		dir + "/alias/x": dir + "/alias is a symbolic link to real:",
		dir + "/link/x":  dir + `/link is a symbolic link to "real\x1b[31m":`,
		dir + "/none/x":  "no such file or directory",
	} {
		_, err := openSources([]Mount{{Type: Bind, Source: source, Target: "/x"}}, nil)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "changed since") {
			t.Errorf("%s: %v, expected %s", source, err, want)
		}
	}
}
