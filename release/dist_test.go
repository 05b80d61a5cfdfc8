// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package release tests what "make dist" has built, and has no code of its own.
package release

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// dist is the directory of a release, which "make dist" names.
func dist(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("HARN_DIST")
	if dir == "" {
		t.Skip("HARN_DIST names no release: make dist")
	}
	return dir
}

// binaries are the plugins of a release, by architecture.
func binaries(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, arch := range []string{"amd64", "arm64"} {
		files, err := filepath.Glob(filepath.Join(dist(t), "nomad-driver-harn_*_linux_"+arch))
		if err != nil || len(files) != 1 {
			t.Fatalf("%s: plugins %q, %v, expected one", arch, files, err)
		}
		found[arch] = files[0]
	}
	return found
}

var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// A plugin, and each program that it carries, is a static binary for one machine.
func TestPluginsCarryProgramsOfTheirArchitecture(t *testing.T) {
	for arch, file := range binaries(t) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		for rest := data; ; rest = rest[4:] {
			at := bytes.Index(rest, []byte(elf.ELFMAG))
			if at < 0 {
				break
			}
			rest = rest[at:]
			// A header: 64 bits, little endian, executable, and as long as headers are.
			if len(rest) < 64 || rest[4] != 2 || rest[5] != 1 || binary.LittleEndian.Uint16(rest[16:]) != uint16(elf.ET_EXEC) || binary.LittleEndian.Uint16(rest[52:]) != 64 {
				continue
			}
			count++
			program, err := elf.NewFile(bytes.NewReader(rest))
			if err != nil {
				t.Errorf("%s: program %d: %v", file, count, err)
				continue
			}
			if program.Machine != machines[arch] {
				t.Errorf("%s: program %d is for %v", file, count, program.Machine)
			}
			if slices.ContainsFunc(program.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
				t.Errorf("%s: program %d needs a dynamic linker", file, count)
			}
		}
		if count != 3 {
			t.Errorf("%s: %d programs are in it, expected the plugin, the executor's and the command line's", file, count)
		}
	}
}

// A plugin says what it was built from, and nothing of where.
func TestPluginsSayTheirCommit(t *testing.T) {
	commit, date := os.Getenv("HARN_DIST_COMMIT"), os.Getenv("HARN_DIST_DATE")
	for arch, file := range binaries(t) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{commit, date} {
			if n := bytes.Count(data, []byte(want)); want == "" || n < 2 { // of the command line's program, too
				t.Errorf("%s has %q %d times", file, want, n)
			}
		}
		for _, private := range []string{"harn-dist.", "/usr/local/go/src"} {
			if bytes.Contains(data, []byte(private)) {
				t.Errorf("%s has %q, which is of the machine that built it", file, private)
			}
		}
		if arch != runtime.GOARCH {
			continue
		}
		out, err := exec.Command(file, "version", "-json").Output()
		if err != nil {
			t.Fatal(err)
		}
		var said map[string]string
		if err := json.Unmarshal(out, &said); err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(file)
		if said["commit"] != commit || said["date"] != date || said["platform"] != "linux/"+arch || !strings.HasPrefix(name, "nomad-driver-harn_"+said["version"]+"_") {
			t.Errorf("%s says %q, expected commit %s of %s", name, said, commit, date)
		}
	}
}

// The list of packages has each module that is linked, in the plugin and in what it
// carries, with its version.
func TestSBOMListsEachModule(t *testing.T) {
	carried := map[string]bool{}
	for _, name := range []string{"program", "commands"} {
		cmd := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "./executor/image/"+name)
		cmd.Dir = ".."
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		for path := range strings.FieldsSeq(string(out)) {
			carried[path] = true
		}
	}
	for _, file := range binaries(t) {
		info, err := buildinfo.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file + ".spdx.json")
		if err != nil {
			t.Fatal(err)
		}
		var sbom struct {
			SPDXVersion string `json:"spdxVersion"`
			Packages    []struct {
				Name    string `json:"name"`
				Version string `json:"versionInfo"`
			} `json:"packages"`
		}
		if err := json.Unmarshal(text, &sbom); err != nil || !strings.HasPrefix(sbom.SPDXVersion, "SPDX-2.") {
			t.Fatalf("%s.spdx.json: %v, version %q", file, err, sbom.SPDXVersion)
		}
		listed := map[string]bool{}
		for _, p := range sbom.Packages {
			listed[p.Name+" "+p.Version] = true
		}
		linked := map[string]bool{info.Main.Path: true}
		for _, module := range info.Deps {
			if module.Replace != nil {
				module = module.Replace
			}
			linked[module.Path] = true
			if !listed[module.Path+" "+module.Version] {
				t.Errorf("%s.spdx.json has no %s %s", filepath.Base(file), module.Path, module.Version)
			}
		}
		if len(info.Deps) < 50 {
			t.Errorf("%s: %d modules: are these all?", file, len(info.Deps))
		}
		for path := range carried {
			if !linked[path] {
				t.Errorf("%s carries a program with %s, which it does not link itself: the list lacks it", filepath.Base(file), path)
			}
		}
	}
}

// SHA256SUMS has each file, and nothing else.
func TestSums(t *testing.T) {
	dir := dist(t)
	file, err := os.Open(filepath.Join(dir, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	summed := []string{"SHA256SUMS"}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		sum, name, _ := strings.Cut(lines.Text(), "  ")
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if hash := sha256.Sum256(data); hex.EncodeToString(hash[:]) != sum {
			t.Errorf("%s has another sum", name)
		}
		summed = append(summed, name)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var there []string
	for _, entry := range entries {
		there = append(there, entry.Name())
	}
	slices.Sort(summed)
	if !slices.Equal(summed, there) || len(there) != 9 {
		t.Errorf("SHA256SUMS has %q, the directory %q", summed, there)
	}
}
