# Copyright (c) The nomad-driver-harn authors
# SPDX-License-Identifier: MPL-2.0
#
# For the scripts that fetch Debian's packages of an architecture, $arch: to be
# read after "fail" is defined. Packages are unpacked, not installed, and apt has a
# configuration, lists and a record of what is installed (nothing) of its own, so
# that the machine's is left alone. Sets dir, and holds its lock.
# shellcheck shell=bash

dir=${HARN_VM_DIR:-/var/cache/nomad-driver-harn}
[ "$arch" = amd64 ] || dir=$dir/$arch
mirror=${DEBIAN_MIRROR:-http://deb.debian.org}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

for p in apt-get:apt dpkg-deb:dpkg flock:util-linux; do
  command -v "${p%%:*}" > /dev/null || fail "${p%%:*} is not installed: it is in Debian's package ${p##*:}"
done
[ -r $keyring ] || fail "$keyring is missing: install debian-archive-keyring"
mkdir -p "$dir"/apt/{lists/partial,cache/archives/partial} ||
  fail "cannot write to $dir: run as root, or set HARN_VM_DIR"
exec 9> "$dir/lock"
flock 9

# apt_update writes the configuration, and has apt read what Debian has now, or
# had when the mirror was made: one that stands still is signed as well.
apt_update() {
  for suite in "debian bookworm" "debian-security bookworm-security" "debian bookworm-backports" \
    "debian-security bullseye-security" "debian trixie-backports" "debian sid"; do
    echo "deb [signed-by=$keyring arch=$arch] $mirror/$suite main"
  done > "$dir/apt/sources.list"
  : > "$dir/apt/status"
  cat > "$dir/apt/apt.conf" << CONFIG
APT::Architecture "$arch";
APT::Architectures { "$arch"; };
APT::Install-Recommends "false";
Dir::State "$dir/apt";
Dir::State::Lists "$dir/apt/lists";
Dir::State::status "$dir/apt/status";
Dir::Cache "$dir/apt/cache";
Dir::Etc::SourceList "$dir/apt/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Parts "/dev/null";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::Check-Valid-Until "false";
APT::Sandbox::User "root";
CONFIG
  export APT_CONFIG="$dir/apt/apt.conf"
  apt-get -qq update || fail "apt-get update failed; the sources are in $dir/apt/sources.list"
}
