// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"path/filepath"
	"testing"
)

// A command that is nowhere in the view is looked for on the host.
func TestCommandElsewhereOnTheHost(t *testing.T) {
	dir := tree(t, map[string]string{
		"me/.nvm/versions/node/v18/bin/harn-node": "#!/bin/sh\n",
		"me/.nvm/versions/node/v20/bin/harn-node": "#!/bin/sh\n",
		"me/.cargo/bin/harn-[x]":                  "#!/bin/sh\n",
		"me/.pyenv/bin/harn-pyenv":                "#!/bin/sh\n",
	})
	was := homes
	homes = []string{dir + "/*"}
	t.Cleanup(func() { homes = was })
	f := &finder{view: viewOf(), taskDir: dir, path: "/usr/bin", readOnly: []string{"/srv"}}
	_, err := f.find("harn-node")
	v20 := filepath.Join(dir, "me/.nvm/versions/node/v20")
	wantError(t, "harn-node", err, `"harn-node" was not found`, "PATH (/usr/bin)", `command = "`+v20+`/bin/harn-node"`, `read_only_roots = ["/srv", "`+v20+`"]`)
	_, err = f.find("harn-[x]")
	wantError(t, "a name with a bracket", err, dir+"/me/.cargo/bin/harn-[x]")
	_, err = f.find("harn-pyenv")
	wantError(t, "harn-pyenv", err, dir+"/me/.pyenv/bin/harn-pyenv")
	// Where the view has it already, the command is all there is to write.
	f.view = viewOf(v20)
	_, err = f.find("harn-node")
	wantError(t, "harn-node", err, `command = "`+v20+`/bin/harn-node"`)
	if got, err := f.find(v20 + "/bin/harn-node"); err != nil {
		t.Errorf("what was advised: %s, %v", got, err)
	}
}
