// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/nomad/api"
)

// Volumes of a CSI plugin, which lie in Nomad's data directory: a task has those that
// its job mounts, as its policy says, and nothing else of them.
func TestCSI(t *testing.T) {
	t.Parallel()
	a := newClient(t, shared.server, poolName(t), options{})
	for _, name := range []string{"data", "fixed", "others"} {
		dir := filepath.Join(a.dir, "volumes", name)
		if err := os.MkdirAll(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "file"), []byte("of "+name+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	id := "e2e-csi"
	service := strings.Replace(batch("csi-plugin", fmt.Sprintf(`
      config {
        command = %q
        args    = [%q]
      }
      csi_plugin {
        id                     = %q
        type                   = "node"
        mount_dir              = "/csi"
        stage_publish_base_dir = %q
      }`, binary("e2e-csi"), filepath.Join(a.dir, "volumes"), id, filepath.Join(a.dir, "data/client/csi/node", id))),
		`driver = "harn"`, `driver = "raw_exec"`, 1)
	a.submit(t, service).untilRunning()
	eventually(t, "the CSI plugin is not healthy", func() bool {
		plugin, _, err := a.CSIPlugins().Info(id, nil)
		return err == nil && plugin.NodesHealthy == 1
	})
	for _, name := range []string{"data", "fixed", "others"} {
		if _, err := a.CSIVolumes().Register(&api.CSIVolume{
			ID: name, Name: name, ExternalID: name, PluginID: id,
			RequestedCapabilities: []*api.CSIVolumeCapability{{
				AccessMode: api.CSIVolumeAccessModeMultiNodeMultiWriter, AttachmentMode: api.CSIVolumeAttachmentModeFilesystem,
			}},
		}, nil); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			eventually(t, "the volume "+name+" is still claimed", func() bool { return a.CSIVolumes().Deregister(name, true, nil) == nil })
		})
	}
	volumes := func(name, text, policy string) string {
		hcl := batch(name, script(text, policy)+`
      volume_mount {
        volume      = "data"
        destination = "/srv/data"
      }
      volume_mount {
        volume      = "fixed"
        destination = "/srv/fixed"
        read_only   = true
      }`)
		for _, v := range []string{"data", "fixed"} {
			hcl = strings.Replace(hcl, `  group "g" {`, fmt.Sprintf(`  group "g" {
    volume %[1]q {
      type            = "csi"
      source          = %[1]q
      read_only       = %[2]v
      access_mode     = "multi-node-multi-writer"
      attachment_mode = "file-system"
    }`, v, v == "fixed"), 1)
		}
		return hcl
	}
	text := fmt.Sprintf(`
cat /srv/data/file /srv/fixed/file
echo made > /srv/data/new && cat /srv/data/new || echo data: no
echo made > /srv/fixed/new || echo fixed: no
ls %[1]s/data/client/csi %[1]s/volumes || echo closed`, a.dir)
	a.run(t, volumes("csi", text, "")).wantLogs("stdout", "of data\nof fixed\nmade\nfixed: no\nclosed\n")
	made, err := os.ReadFile(filepath.Join(a.dir, "volumes/data/new"))
	if err != nil || string(made) != "made\n" {
		t.Errorf("on the volume: %q, %v", made, err)
	}
	if _, err := os.Stat(filepath.Join(a.dir, "volumes/fixed/new")); err == nil {
		t.Error("a read-only volume was written to")
	}
	// A policy that grants reading grants no more on a volume.
	if err := os.Remove(filepath.Join(a.dir, "volumes/data/new")); err != nil {
		t.Fatal(err)
	}
	a.run(t, volumes("csi-reader", text, `
        capability_policy {
          capabilities { workspace = ["read_text", "list"] }
        }`)).
		wantLogs("stdout", "of data\nof fixed\ndata: no\nfixed: no\nclosed\n")
	// No root of a job leads to the volumes of others.
	j := a.run(t, batch("csi-root", script("true", fmt.Sprintf("capability_policy { read_only_roots = [%q] }", a.dir+"/data/client/csi"))))
	j.wantNotStarted()
	if events := j.events(); !strings.Contains(events, "read_only_roots") {
		t.Errorf("events:\n%s", events)
	}
}
