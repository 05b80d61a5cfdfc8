#!/bin/bash
# Copyright (c) The nomad-driver-harn authors
# SPDX-License-Identifier: MPL-2.0
#
# with.sh COMMAND...: run a command that sees the programs that fetch.sh has
# installed: in namespaces of its own, where the layer lies above /usr and /etc.
# What is written there, and all that the command has started, ends with it.
set -euo pipefail

dir=${HARN_PROGRAMS_DIR:-/var/cache/nomad-driver-harn}/programs

fail() { echo "with.sh: $*" >&2; exit 2; }

[ $# -gt 0 ] || fail "no command"
[ -f "$dir/npm" ] || fail "$dir has no programs: run fetch.sh"
if [ "${HARN_PROGRAMS_NAMESPACE:-}" != inside ]; then
  HARN_PROGRAMS_NAMESPACE=inside exec "$(dirname "$(realpath "$0")")/../internal/contained.sh" -- "$0" "$@"
fi
unset HARN_PROGRAMS_NAMESPACE
export HARN_PROGRAMS_LAYER=$dir/layer
scratch=$dir/scratch
mkdir -p "$scratch"
mount -t tmpfs tmpfs "$scratch"
for place in usr etc; do
  mkdir "$scratch/$place" "$scratch/$place.work"
  mount -t overlay -o "lowerdir=$dir/layer/$place:/$place,upperdir=$scratch/$place,workdir=$scratch/$place.work" overlay "/$place" ||
    fail "no overlay file system above /$place"
done
exec "$@"
