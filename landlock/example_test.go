// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package landlock_test

import (
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
	"github.com/burin-labs/nomad-driver-harn/landlock"
)

// A thread that can read and execute what lies in /usr, and open nothing else.
func ExampleEnter() {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		done <- readUsrAlone()
	}()
	if err := <-done; err != nil {
		fmt.Println(err) // landlock.ErrNotBuilt or landlock.ErrDisabled: this kernel has no Landlock
	}
}

func readUsrAlone() error {
	abi, err := landlock.Detect()
	if err != nil {
		return err
	}
	rules := landlock.Ruleset{
		HandledFS: abi.Rights().FS,
		Paths: []landlock.PathRule{
			{Path: "/usr", Access: landlock.Execute | landlock.ReadFile | landlock.ReadDir},
		},
	}
	set, err := rules.Open()
	if err != nil {
		return err
	}
	defer set.Close()
	if err := landlock.Enter(set, 0); err != nil {
		return err
	}
	if err := landlock.Denied("/usr"); err == nil {
		return errors.New("/usr cannot be listed, although a rule admits it")
	}
	return landlock.Denied("/")
}

// A ruleset is data: what it admits can be asked without a kernel.
func ExampleRuleset_Admits() {
	rules := landlock.Ruleset{
		HandledFS: landlock.ABI(3).Rights().FS,
		Paths:     []landlock.PathRule{{Path: "/srv/models", Access: landlock.ReadFile | landlock.ReadDir}},
	}
	fmt.Println(rules.Admits("/srv/models/7b/weights", landlock.ReadFile))
	fmt.Println(rules.Admits("/srv/models-old", landlock.ReadFile))
	fmt.Println(rules.Admits("/srv/models/7b", landlock.WriteFile))
	// Output:
	// true
	// false
	// false
}

// The example of Enter does what it says.
func TestExampleEnter(t *testing.T) {
	kerneltest.Landlock(t, 1)
	kerneltest.Thread(func() {
		if err := readUsrAlone(); err != nil {
			t.Error(err)
		}
	})
}
