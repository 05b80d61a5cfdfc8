// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/client/lib/cgroupslib"
	"github.com/hashicorp/nomad/helper/uuid"
	"github.com/hashicorp/nomad/plugins/drivers"
)

// as gives a task a user as Nomad does, with its directory.
func (h *harness) as(cfg *drivers.TaskConfig, user string, uid int) *drivers.TaskConfig {
	h.t.Helper()
	cfg.User = user
	if err := os.Chown(filepath.Dir(cfg.Env["NOMAD_TASK_DIR"]), uid, uid); err != nil {
		h.t.Fatal(err)
	}
	return cfg
}

// No two tasks have the same dynamic user, however it came to the second one.
func TestDynamicUserIsOneTasksAlone(t *testing.T) {
	h := newHarness(t, nil)
	victim := h.as(h.task(sh("exec sleep 1000")), "nomad-80123", 80123)
	handle := recovered(t, h.start(victim))
	// beside has the victim's directory beside another task's, as Nomad has it.
	beside := func(cfg *drivers.TaskConfig) *drivers.TaskConfig {
		t.Helper()
		dir := filepath.Join(filepath.Dir(filepath.Dir(cfg.Env["NOMAD_TASK_DIR"])), victim.AllocID+"-"+victim.Name)
		if err := os.Mkdir(dir, 0o710); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(dir, 80123, 80123); err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	refused := func(name, user string, uid int) {
		t.Helper()
		cfg := beside(h.as(h.task(sh("id -u; sleep 1")), user, uid))
		_, _, err := h.StartTask(cfg)
		if err == nil {
			t.Errorf("%s: user %q runs as the dynamic user of another task", name, user)
			_ = h.DestroyTask(cfg.ID, true)
			return
		}
		wantError(t, name, err, "80123", victim.AllocID, "leave user out")
	}
	admitted := func(name, user string, uid int) {
		t.Helper()
		cfg := beside(h.as(h.task(sh("exit 7")), user, uid))
		h.start(cfg)
		if got := h.wait(cfg.ID); got.ExitCode != 7 {
			t.Errorf("%s: %+v", name, got)
		}
		if err := h.DestroyTask(cfg.ID, true); err != nil {
			t.Error(err)
		}
	}
	refused("by its name", "nomad-80123", 80123)
	refused("by a directory, after a restart of the agent", "", 80123)
	admitted("another one", "nomad-80124", 80124)
	for range 2 {
		admitted("no dynamic one", "nobody", 65534)
	}

	// The next plugin has not recovered it yet.
	h.connect()
	refused("before it is recovered", "nomad-80123", 80123)
	if err := h.RecoverTask(handle); err != nil {
		t.Fatal(err)
	}
	refused("once it is recovered", "nomad-80123", 80123)

	// Nomad will start it again: until then its files are there.
	if err := h.DestroyTask(victim.ID, true); err != nil {
		t.Fatal(err)
	}
	refused("between two starts of it", "nomad-80123", 80123)
	again := victim.Copy()
	again.ID = victim.AllocID + "/t/" + uuid.Short()
	config := sh("exit 5")
	if err := again.EncodeConcreteDriverConfig(&config); err != nil {
		t.Fatal(err)
	}
	h.start(again)
	if got := h.wait(again.ID); got.ExitCode != 5 {
		t.Errorf("its next start: %+v", got)
	}
	if err := h.DestroyTask(again.ID, true); err != nil {
		t.Fatal(err)
	}
	// Once it is over for good, the user is anybody's.
	if err := cgroupslib.Factory(victim.AllocID, victim.Name, false).Teardown(); err != nil {
		t.Fatal(err)
	}
	admitted("after its end", "nomad-80123", 80123)
}

// Of two that start at the same time, one gets the user. A task whose user the
// other one has is not recovered.
func TestDynamicUserIsGivenOnce(t *testing.T) {
	s := newTaskStore()
	h := holder{"a", "t", 80123, true, "nomad-80123"}
	release, err := s.claimUser("1", h)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		holder
		refused bool
	}{
		"the same task":                      {h, false},
		"another task of the allocation":     {holder{"a", "u", 80123, true, ""}, true},
		"another allocation":                 {holder{"b", "t", 80123, true, ""}, true},
		"a named user with that UID":         {holder{"b", "t", 80123, false, ""}, true},
		"another user of another":            {holder{"b", "t", 80124, true, ""}, false},
		"a named user without a claim on it": {holder{"b", "t", 1, false, ""}, false},
	} {
		end, err := s.claimUser("2", tc.holder)
		if (err != nil) != tc.refused {
			t.Errorf("%s: %v, expected an error: %v", name, err, tc.refused)
		}
		if err == nil {
			end()
		} else if !strings.Contains(err.Error(), fmt.Sprint(h.uid)) || !strings.Contains(err.Error(), `"a"`) {
			t.Errorf("%s: %v", name, err)
		}
	}
	release()
	if _, err := s.claimUser("2", holder{"b", "t", 80123, true, ""}); err != nil {
		t.Errorf("released: %v", err)
	}
}

func TestHasProcesses(t *testing.T) {
	if !hasProcesses(uint32(os.Geteuid())) {
		t.Error("this process has not been found")
	}
	if hasProcesses(2_000_000_000 + uint32(time.Now().UnixNano()%1_000_000)) {
		t.Error("a process of a user that nobody has")
	}
}
