#!/bin/bash
# Copyright (c) The nomad-driver-harn authors
# SPDX-License-Identifier: MPL-2.0
#
# dist.sh DIRECTORY TOOLS: build what a release has of the commit that is checked
# out, into DIRECTORY: the plugin and its packages for each architecture, lists of
# what is in them (SPDX), and SHA256SUMS. TOOLS is the directory of nfpm.
#
# All is built twice, in directories of different names, the second time without
# anything that was compiled before: with QUICK=1, which is for trying the packages, with
# that. The two must be equal, byte for byte.
set -euo pipefail

out=$(realpath -m "$1") tools=$(realpath "$2")
cd "$(dirname "$(realpath "$0")")/.."
fail() { echo "dist.sh: $*" >&2; exit 1; }

commit=$(git rev-parse HEAD)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH TZ=UTC LC_ALL=C
date=$(date -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
PACKAGE_VERSION=$(sed -n 's/^const Version = "\(.*\)"$/\1/p' version/version.go)
export PACKAGE_VERSION
[ -n "$PACKAGE_VERSION" ] || fail "version/version.go has no version"
git diff --quiet HEAD || echo "dist.sh: what is not committed is not in the release: it is of commit $commit" >&2
# What else decides on the bytes of a binary, besides the source and Go's version.
export CGO_ENABLED=0 GOOS=linux GOAMD64=v1 GOARM64=v8.0 GOEXPERIMENT='' GOFIPS140=off GOFLAGS=-buildvcs=false GOWORK=off
host=$(go env GOHOSTARCH)
name=nomad-driver-harn version=${PACKAGE_VERSION}

work=$(mktemp -d "${TMPDIR:-/tmp}/harn-dist.XXXXXX")
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP

# release SOURCE OUT: unpack the commit and build all of it.
release() {
  local source=$1 to=$2 arch
  mkdir -p "$source" "$to" "$source.stage"
  git archive "$commit" | tar -x -C "$source"
  for arch in amd64 arm64; do
    make -s -C "$source" build "GOARCH=$arch" "BIN=$source.bin" "PLUGIN=$to/${name}_${version}_linux_$arch" "COMMIT=$commit" "DATE=$date"
  done
  (cd "$source" && GOARCH=$host go build -trimpath -o "$source.sbom" ./release/sbom)
  for arch in amd64 arm64; do
    (cd "$source" && "$source.sbom" "$to/${name}_${version}_linux_$arch" > "$to/${name}_${version}_linux_$arch.spdx.json")
  done
  # What the packages have, the same for all.
  local stage=$source.stage page
  mkdir -p "$stage"/{man1,man5,doc/examples/programs,doc/docs}
  (cd "$source" && GOARCH=$host go run -trimpath -ldflags "-X github.com/burin-labs/nomad-driver-harn/version.Date=$date" ./release/manual "$stage")
  for page in "$stage"/*.[15]; do
    gzip -n -9 "$page"
    mv "$page.gz" "$stage/man${page##*.}/"
  done
  cp "$source"/{README.md,CHANGELOG.md,SECURITY.md,LICENSE} "$source/release/copyright" "$stage/doc/"
  cp "$source"/docs/*.md "$stage/doc/docs/"
  cp "$source"/example/*.hcl "$stage/doc/examples/"
  cp "$source"/example/programs/*.hcl "$stage/doc/examples/programs/"
  cp -r "$source/release/completions" "$stage/"
  chmod -R u=rwX,go=rX "$stage"
  find "$stage" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
  for arch in amd64 arm64; do
    cp "$to/${name}_${version}_linux_$arch" "$stage/$name"
    touch -d "@$SOURCE_DATE_EPOCH" "$stage/$name"
    for packager in deb rpm; do
      (cd "$stage" && PACKAGE_ARCH=$arch "$tools/nfpm" package -f "$source/release/nfpm.yaml" -p "$packager" -t "$to/" > /dev/null)
    done
  done
}

echo "== build v$version of commit $commit"
release "$work/source" "$work/out"
echo "== build it again, elsewhere"
cache=$work/cache
[ -z "${QUICK:-}" ] || cache=$(go env GOCACHE)
GOCACHE=$cache release "$work/another/directory/of/the/source" "$work/again"
if ! (cd "$work/out" && sha256sum -- *) | (cd "$work/again" && sha256sum --quiet -c -) || [ "$(ls "$work/out")" != "$(ls "$work/again")" ]; then
  fail "the two builds differ: a build of this commit cannot be compared with the release"
fi
echo "== the two are equal"
(cd "$work/out" && sha256sum -- * > SHA256SUMS)
rm -rf "$out"
mkdir -p "$out"
cp "$work"/out/* "$out/"
HARN_DIST=$out HARN_DIST_COMMIT=$commit HARN_DIST_DATE=$date GOARCH=$host go test -count=1 ./release > "$work/log" || { cat "$work/log" >&2; exit 1; }
cat "$out/SHA256SUMS"
