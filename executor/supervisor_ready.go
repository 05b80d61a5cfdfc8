// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"encoding/json"
	"io"
	"runtime"
)

// someInstructions have one of each kind of thing that instructions hold.
const someInstructions = `{
	"isolation": {"network": {}, "mounts": [{"layers": [{}]}], "closed": [{"holds": [""]}]},
	"confinement": {"user": {"groups": [0]}, "ruleset": {"paths": [{}], "ports": [{}]}, "cgroups": [""], "limits": [{}], "capabilities": [0]},
	"process": {"args": [""], "env": [""]},
	"logs": {}, "companions": [{"env": [""], "ruleset": {"paths": [{}], "ports": [{}]}, "filter": ""}],
	"filters": {"program": "", "own": ""},
	"inherited": {"sources": {"mounts": [{}]}, "cgroups": {"tasks": [0]}, "companions": [[0]]}
}`

// warmUp does what takes its time only once, while nobody waits for it: package json
// looks at each type that it meets, and Go's runtime asks the kernel for memory, which
// is then there.
func warmUp() {
	_ = json.Unmarshal([]byte(someInstructions), &instructions{})
	_ = json.NewEncoder(io.Discard).Encode(status{})
	BootID()
	runtime.GC()
}
