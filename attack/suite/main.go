// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Command suite holds the attacks that are programs in Go, one a file, and
// runs them, and those in C and shell that lie beside it. It is static, so
// that it runs in any task on any kernel.
//
// An attack is known by the name of its file, and described by the comment
// that the file begins with. Its targets are in the environment, see [at].
package main

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Attack is an operation which a confined task must not get through with.
type Attack struct {
	// Root: even unconfined it works for root only. The control is run as root.
	Root bool `json:"root,omitempty"`
	// Network: the policy admits it at level network.
	Network bool `json:"network,omitempty"`
	// Local: local_ipc admits it; LocalABI is the Landlock ABI from which on it does.
	Local    bool `json:"local,omitempty"`
	LocalABI int  `json:"local_abi,omitempty"`
	// NetworkABI is the Landlock ABI without which level network admits it.
	NetworkABI int `json:"network_abi,omitempty"`
	// FileABI is the Landlock ABI without which file permissions alone decide.
	FileABI int `json:"file_abi,omitempty"`
	// Design is why every profile admits it, and DesignWorktree why worktree does.
	Design         string `json:"design,omitempty"`
	DesignWorktree string `json:"design_worktree,omitempty"`
	// DesignRoot is why a task of user 0 may.
	DesignRoot string `json:"design_root,omitempty"`
	// Alone: it is run as a task of its own, under limits that it may exhaust.
	Alone bool `json:"alone,omitempty"`
	// Run returns nil if the attack got what it wanted.
	Run func() error `json:"-"`
	// Sibling is the same operation on what the policy admits. It must work.
	Sibling func() error `json:"-"`
}

// attacks are those in Go, by name.
var attacks = map[string]Attack{}

// attack registers the attack of the calling file.
func attack(a Attack) {
	_, file, _, _ := runtime.Caller(1)
	name := strings.TrimSuffix(filepath.Base(file), ".go")
	if _, ok := attacks[name]; ok {
		panic("two attacks in " + file)
	}
	attacks[name] = a
}

// named registers an attack that shares its file with others.
func named(name string, a Attack) { attacks[name] = a }

//go:embed *.go
var sources embed.FS

// about is the description that a file begins with, after its license.
func about(name string) string {
	source, _ := sources.ReadFile(name + ".go")
	if source == nil { // one of a table
		return ""
	}
	var text []string
	for line := range strings.Lines(string(source)) {
		line = strings.TrimSpace(line)
		comment, ok := strings.CutPrefix(line, "//")
		if !ok && len(text) > 0 {
			break
		}
		comment = strings.TrimSpace(comment)
		if ok && comment != "" && !strings.HasPrefix(comment, "Copyright") && !strings.HasPrefix(comment, "SPDX-") && !strings.HasPrefix(comment, "go:build") {
			text = append(text, comment)
		}
	}
	return strings.Join(text, " ")
}

// Result is how an attack ended.
type Result struct {
	Name string `json:"name"`
	// Answer is OK, the name of an error number, the name of a signal that
	// killed the attack, "timeout", or a text.
	Answer  string `json:"answer"`
	Detail  string `json:"detail,omitempty"`
	Sibling string `json:"sibling,omitempty"` // empty if there is none
}

const ok = "OK"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("usage: suite list | all FILE | run NAME | probe FILE OPERATION... | victim | identity")
	}
	switch {
	case args[0] == "list":
		return list()
	case args[0] == "all" && len(args) == 2:
		return all(args[1])
	case args[0] == "run" && len(args) == 2:
		return one(args[1])
	case args[0] == "probe" && len(args) > 1:
		return probe(args[1], args[2:])
	case args[0] == "alone" && len(args) == 2:
		return alone(args[1])
	case args[0] == "victim":
		return victim()
	case args[0] == "identity":
		return identity()
	case args[0] == "helper-errno" && len(args) > 1:
		return helperErrno(args[1:])
	}
	return fmt.Errorf("unknown arguments %q", args)
}

// helpers are other processes that attacks need.
var helpers = map[string]func(args []string) error{}

// Listed is an attack as the host is told of it.
type Listed struct {
	Attack
	Name  string `json:"name"`
	About string `json:"about"`
}

func list() error {
	var out []Listed
	for name, a := range attacks {
		text := about(name)
		if text == "" {
			text = tableAbout[name]
		}
		out = append(out, Listed{a, name, text})
	}
	slices.SortFunc(out, func(a, b Listed) int { return strings.Compare(a.Name, b.Name) })
	return json.NewEncoder(os.Stdout).Encode(out)
}

// one runs an attack in this process, and prints the result.
func one(name string) error {
	a, found := attacks[name]
	if !found {
		return fmt.Errorf("no attack %q", name)
	}
	// Many attacks change the state of their thread.
	runtime.LockOSThread()
	r := Result{Name: name}
	if a.Sibling != nil {
		r.Sibling, _ = answer(a.Sibling())
		// It is known before the attack, which may end the process.
		_ = json.NewEncoder(os.Stdout).Encode(r)
	}
	r.Answer, r.Detail = answer(a.Run())
	return json.NewEncoder(os.Stdout).Encode(r)
}

func alone(name string) error {
	a, found := attacks[name]
	if !found {
		return fmt.Errorf("no attack %q", name)
	}
	r := Result{Name: name}
	r.Answer, r.Detail = answer(a.Run())
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return os.WriteFile(at("RESULTS"), data, 0o644)
}

// answer names an error by its number.
func answer(err error) (name, detail string) {
	if err == nil {
		return ok, ""
	}
	if number := syscall.Errno(0); errors.As(err, &number) {
		return unix.ErrnoName(number), err.Error()
	}
	return err.Error(), ""
}
