// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Command sbom lists the Go modules that a binary is linked from, with their licenses, as
// SPDX 2.3 in JSON: sbom BINARY > BINARY.spdx.json. The modules are what Go's linker has
// written into the binary; the licenses are what the files of the module cache have. For
// equal binaries it prints the same. SOURCE_DATE_EPOCH is the time that it says, if set.
package main

import (
	"cmp"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"golang.org/x/mod/module"

	"github.com/burin-labs/nomad-driver-harn/internal/licenses"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "sbom: expected one argument, a binary that Go has linked")
		os.Exit(2)
	}
	if err := list(os.Args[1], os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "sbom: %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

// unknown is SPDX's word for what nobody has looked up.
const unknown = "NOASSERTION"

func list(file string, to io.Writer) error {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	created, err := timeOfBuild()
	if err != nil {
		return err
	}
	cache, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		return fmt.Errorf("go env GOMODCACHE: %w", err)
	}
	name := filepath.Base(file)
	doc := &spdx.Document{
		SPDXVersion: spdx.Version, DataLicense: spdx.DataLicense, SPDXIdentifier: "DOCUMENT", DocumentName: name,
		DocumentNamespace: "https://" + info.Main.Path + "/spdx/" + name + "-" + hex.EncodeToString(sum[:]),
		CreationInfo:      &spdx.CreationInfo{Created: created, Creators: []common.Creator{{CreatorType: "Tool", Creator: "nomad-driver-harn-sbom"}}},
	}
	binary := &spdx.Package{
		PackageName: info.Main.Path, PackageSPDXIdentifier: "binary", PackageFileName: name, PackageDownloadLocation: unknown,
		PackageChecksums:        []common.Checksum{{Algorithm: common.SHA256, Value: hex.EncodeToString(sum[:])}},
		PackageLicenseConcluded: "MPL-2.0 AND BUSL-1.1", PackageLicenseDeclared: "MPL-2.0", PackageCopyrightText: unknown, PrimaryPackagePurpose: "APPLICATION",
	}
	doc.Packages = append(doc.Packages, binary)
	doc.Relationships = append(doc.Relationships, related("DOCUMENT", "DESCRIBES", binary.PackageSPDXIdentifier))
	modules := []*debug.Module{{Path: "stdlib", Version: info.GoVersion}}
	for _, m := range info.Deps {
		modules = append(modules, cmp.Or(m.Replace, m))
	}
	for i, m := range modules {
		p, err := describe(m, strings.TrimSpace(string(cache)))
		if err != nil {
			return err
		}
		p.PackageSPDXIdentifier = common.ElementID(fmt.Sprintf("module-%d", i))
		doc.Packages = append(doc.Packages, p)
		doc.Relationships = append(doc.Relationships, related(string(binary.PackageSPDXIdentifier), "CONTAINS", p.PackageSPDXIdentifier))
	}
	return json.Write(doc, to, json.Indent("  "))
}

func related(a, relation string, b common.ElementID) *spdx.Relationship {
	return &spdx.Relationship{RefA: common.MakeDocElementID("", a), Relationship: relation, RefB: common.MakeDocElementID("", string(b))}
}

// timeOfBuild is now, unless SOURCE_DATE_EPOCH says otherwise.
func timeOfBuild() (string, error) {
	now := time.Now()
	if text := os.Getenv("SOURCE_DATE_EPOCH"); text != "" {
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return "", fmt.Errorf("SOURCE_DATE_EPOCH: %q is not a number of seconds", text)
		}
		now = time.Unix(seconds, 0)
	}
	return now.UTC().Format(time.RFC3339), nil
}

// describe is a module as a package. Go's own has no directory in the cache.
func describe(m *debug.Module, cache string) (*spdx.Package, error) {
	p := &spdx.Package{
		PackageName: m.Path, PackageVersion: m.Version, PackageDownloadLocation: "https://proxy.golang.org/" + m.Path + "/@v/" + m.Version + ".zip",
		PackageCopyrightText: unknown, PackageExternalReferences: []*spdx.PackageExternalReference{{
			Category: "PACKAGE-MANAGER", RefType: "purl", Locator: "pkg:golang/" + m.Path + "@" + m.Version,
		}},
	}
	if m.Path == "stdlib" {
		p.PackageDownloadLocation, p.PackageLicenseConcluded, p.PackageLicenseDeclared = "https://go.dev/dl/", "BSD-3-Clause", "BSD-3-Clause"
		return p, nil
	}
	if m.Sum == "" {
		return nil, fmt.Errorf("module %s %s has no checksum: what is replaced by a directory is no release", m.Path, m.Version)
	}
	path, err := module.EscapePath(m.Path)
	if err != nil {
		return nil, err
	}
	version, err := module.EscapeVersion(m.Version)
	if err != nil {
		return nil, err
	}
	names, text, err := licenses.Of(filepath.Join(cache, path+"@"+version))
	if err != nil {
		return nil, fmt.Errorf("the license of %s: %w: run \"go mod download\"", m.Path, err)
	}
	slices.Sort(names)
	p.PackageLicenseDeclared = cmp.Or(said(text), strings.Join(names, " AND "), unknown)
	p.PackageLicenseConcluded = p.PackageLicenseDeclared
	return p, nil
}

var identifier = regexp.MustCompile(`SPDX-License-Identifier: *([A-Za-z0-9.+() -]*[A-Za-z0-9.+)])`)

// said is what a license file says of itself in SPDX's words, as that one may choose
// between two, "" if it says nothing.
func said(text string) string {
	if match := identifier.FindStringSubmatch(text); match != nil {
		return match[1]
	}
	return ""
}
