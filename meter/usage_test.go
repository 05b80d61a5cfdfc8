// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package meter

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/burin-labs/nomad-driver-harn/cgroup"
)

// The kernel's own text, shortened. A kernel that lacks a file counts nothing
// in it, and the rest is counted all the same.
func TestGroupUsage(t *testing.T) {
	v2 := map[string]string{
		"cpu.stat":            "usage_usec 30\nuser_usec 10\nsystem_usec 20\nnr_periods 9\nnr_throttled 7\nthrottled_usec 5\n",
		"memory.stat":         "anon 1\nfile 2\nkernel 3\nkernel_stack 99\nfile_mapped 4\nanon_thp 99\n",
		"memory.current":      "5\n",
		"memory.swap.current": "6\n",
		"memory.peak":         "8\n",
		"memory.max":          "9\n",
	}
	v1 := map[string]string{
		"cpuacct.usage":                  "30000\n",
		"cpuacct.stat":                   "user 1\nsystem 2\n",
		"cpu.stat":                       "nr_periods 9\nnr_throttled 7\nthrottled_time 5\n",
		"memory.stat":                    "cache 2\nrss 1\nrss_huge 99\nmapped_file 4\nswap 6\ntotal_rss 99\n",
		"memory.usage_in_bytes":          "5\n",
		"memory.max_usage_in_bytes":      "8\n",
		"memory.kmem.usage_in_bytes":     "3\n",
		"memory.kmem.max_usage_in_bytes": "10\n",
		"memory.limit_in_bytes":          "9\n",
	}
	byV1 := []string{"RSS", "Cache", "Swap", "Mapped File", "Usage", "Max Usage", "Kernel Usage", "Kernel Max Usage"}
	byV2 := []string{"RSS", "Cache", "Swap", "Mapped File", "Usage"}
	us := CPU{10 * time.Microsecond, 20 * time.Microsecond, 30 * time.Microsecond}
	ticks := CPU{10 * time.Millisecond, 20 * time.Millisecond, 30 * time.Microsecond}
	for name, test := range map[string]struct {
		files       map[string]string
		controllers []string
		without     []string
		want        Group
		limit       uint64
	}{
		"v2": {v2, []string{""}, nil, Group{us, 7, 5000, Memory{
			RSS: 1, Cache: 2, Swap: 6, MappedFile: 4, Usage: 5, MaxUsage: 8, KernelUsage: 3,
			Measured: slices.Concat(byV2, []string{"Kernel Usage", "Max Usage"}),
		}}, 9},
		"v2 without swap and peak": {v2, []string{""}, []string{"memory.peak", "memory.swap.current"}, Group{us, 7, 5000, Memory{
			RSS: 1, Cache: 2, MappedFile: 4, Usage: 5, KernelUsage: 3,
			Measured: slices.Concat(byV2, []string{"Kernel Usage"}),
		}}, 9},
		"v2 without memory": {
			v2,
			[]string{""},
			[]string{"memory.peak", "memory.swap.current", "memory.stat", "memory.current", "memory.max"},
			Group{us, 7, 5000, Memory{Measured: byV2}},
			0,
		},
		"v1": {v1, []string{"cpu", "cpuacct", "memory"}, nil, Group{ticks, 7, 5, Memory{
			RSS: 1, Cache: 2, Swap: 6, MappedFile: 4, Usage: 5, MaxUsage: 8, KernelUsage: 3, KernelMaxUsage: 10, Measured: byV1,
		}}, 9},
		"v1 without kmem": {
			v1,
			[]string{"cpu", "cpuacct", "memory"},
			[]string{"memory.kmem.usage_in_bytes", "memory.kmem.max_usage_in_bytes"},
			Group{ticks, 7, 5, Memory{
				RSS: 1, Cache: 2, Swap: 6, MappedFile: 4, Usage: 5, MaxUsage: 8, Measured: byV1,
			}},
			9,
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range test.files {
				if slices.Contains(test.without, file) {
					continue
				}
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			g := &cgroup.Group{Paths: map[string]string{}}
			for _, controller := range test.controllers {
				g.Paths[controller] = dir
			}
			got, err := newReader().group(g)
			if err != nil || !reflect.DeepEqual(*got, test.want) {
				t.Errorf("%+v, %v\nwant %+v", got, err, test.want)
			}
			limit, used, err := MemoryLimit(g)
			if err != nil || limit != test.limit || used != test.want.Memory.MaxUsage {
				t.Errorf("limit %d, used %d, %v, want %d, %d", limit, used, err, test.limit, test.want.Memory.MaxUsage)
			}
		})
	}
	if got, err := newReader().group(&cgroup.Group{}); got != nil || err != nil {
		t.Errorf("without cgroups: %+v, %v", got, err)
	}
}

// Where something is swapped out, one more file is read.
func TestProcessUsage(t *testing.T) {
	for _, swapped := range []bool{false, true} {
		p, err := newReader().process(os.Getpid(), swapped)
		if err != nil || p.PID != os.Getpid() || p.RSS < 1<<20 || p.Total != p.User+p.System {
			t.Errorf("%+v, %v", p, err)
		}
	}
	if _, err := newReader().process(1<<30, false); err == nil {
		t.Error("a process that does not exist has been read")
	}
}
