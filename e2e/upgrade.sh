#!/bin/bash
# Builds plugins of other versions for TestUpgrade: upgrade.sh DIR COMMIT makes
# DIR/earlier, of a commit, and DIR/next, of this tree with records of the next version.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=$1 commit=$2
mkdir -p "$dir"
source=$(mktemp -d)
trap 'rm -rf "$source"' EXIT
git archive "$commit" | tar -x -C "$source"
make -s -C "$source" build
cp "$source/bin/nomad-driver-harn" "$dir/earlier"

version=$(sed -n 's/^\tRecordVersion = \([0-9]*\)$/\1/p' executor/record.go)
sed "s/^\tRecordVersion = $version\$/\tRecordVersion = $((version + 1))/" executor/record.go > "$source/record.go"
if cmp -s "$source/record.go" executor/record.go; then
  echo "executor/record.go: no RecordVersion" >&2
  exit 1
fi
printf '{"Replace": {"%s": "%s"}}' "$PWD/executor/record.go" "$source/record.go" > "$source/overlay"
CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -overlay "$source/overlay" -o "$dir/next" .
