// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

// Proof is what a kernel was seen to enforce, by a process that entered it.
type Proof struct {
	// ABI is that of Landlock; 0 if it does not work, for the reason Landlock.
	ABI      landlock.ABI `json:"abi"`
	Landlock string       `json:"landlock,omitempty"`
	// Seccomp says why seccomp filters do not work, "" if they do.
	Seccomp string `json:"seccomp,omitempty"`
}

// probeTimeout is how long the kernel may take to be probed, 3 ms mostly.
const probeTimeout = 10 * time.Second

// Probe has a process enter Landlock and seccomp, and returns what was then
// denied to it.
func Probe() (Proof, error) {
	proof, err := runProbe()
	if err != nil {
		return Proof{}, fmt.Errorf("probing the kernel: %w", err)
	}
	return proof, nil
}

func runProbe() (proof Proof, err error) {
	said, err := askProbe("", 0)
	if err != nil {
		return proof, err
	}
	return proof, json.Unmarshal(said, &proof)
}

// askProbe runs a probe in new namespaces, and returns what it says.
func askProbe(what string, namespaces uintptr) (said []byte, err error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	prober, err := spawn(probeName, what, namespaces, []uintptr{null.Fd(), w.Fd(), null.Fd()})
	w.Close()
	if err != nil {
		return nil, err
	}
	defer prober.close()
	defer func() {
		_ = prober.signal(unix.SIGKILL) // if it hangs
		err = errors.Join(err, prober.wait())
	}()
	if err := r.SetReadDeadline(time.Now().Add(probeTimeout)); err != nil {
		return nil, err
	}
	if said, err = io.ReadAll(r); err == nil && len(said) == 0 {
		err = errors.New("the probe ended without a word")
	}
	return said, err
}

// probe is the main function of a probe.
func probe() int {
	if len(os.Args) > 1 && os.Args[1] == namespacesProbe {
		return probeNamespaces()
	}
	var proof Proof
	var err error
	if proof.ABI, err = proveLandlock(); err != nil {
		proof.ABI, proof.Landlock = 0, err.Error()
	}
	if err := proveSeccomp(); err != nil {
		proof.Seccomp = err.Error()
	}
	if err := json.NewEncoder(os.Stdout).Encode(proof); err != nil {
		return 1
	}
	return 0
}

func proveLandlock() (landlock.ABI, error) {
	abi, err := landlock.Detect()
	if err != nil {
		return 0, err
	}
	trial, err := landlock.NewTrial(abi)
	if err != nil {
		return 0, err
	}
	defer trial.Close()
	set, err := trial.Ruleset().Open()
	if err != nil {
		return 0, err
	}
	defer set.Close()
	if err := landlock.Enter(set, 0); err != nil {
		return 0, err
	}
	return abi, trial.AllDenied()
}

func proveSeccomp() error {
	if err := seccomp.Supported(); err != nil {
		return err
	}
	arch, err := seccomp.Native()
	if err != nil {
		return err
	}
	const denied, number = "userfaultfd", unix.SYS_USERFAULTFD
	program, err := seccomp.Compile(arch, seccomp.Deny(denied))
	if err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if err := seccomp.Install(program); err != nil {
		return err
	}
	// Its flags are wrong, so that without the filter it answers EINVAL.
	if _, _, errno := unix.RawSyscall(number, ^uintptr(0), 0, 0); !errors.Is(errno, unix.EPERM) {
		return fmt.Errorf("seccomp: a denied system call answers %w, expected EPERM: the kernel does not enforce the filter", errno)
	}
	return nil
}
