#!/bin/bash
# Copyright (c) The nomad-driver-harn authors
# SPDX-License-Identifier: MPL-2.0
#
# kernels.sh [-u] SERIES...: fetch Debian's kernels of these series for vm.sh,
# for example 5.10 6.1 6.12 7.2 7.3: the newest of each that Debian has now.
# What is there already stays as it is; -u looks for a newer one.
#
# The packages are unpacked, not installed, and apt has a configuration of its
# own here, so that the machine's is left alone. The result:
#   $HARN_VM_DIR/kernels/SERIES/{vmlinuz,release,lib/modules/RELEASE/}
set -euo pipefail

dir=${HARN_VM_DIR:-/var/cache/nomad-driver-harn}
mirror=${DEBIAN_MIRROR:-http://deb.debian.org}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

fail() { echo "kernels.sh: $*" >&2; exit 1; }

update=
if [ "${1:-}" = -u ]; then
  update=1
  shift
fi
[ $# -gt 0 ] || fail "name a series of kernels, for example 6.12"
for p in apt-get:apt dpkg-deb:dpkg depmod:kmod flock:util-linux; do
  command -v "${p%%:*}" > /dev/null || fail "${p%%:*} is not installed: it is in Debian's package ${p##*:}; make setup installs it"
done
[ -r $keyring ] || fail "$keyring is missing: install debian-archive-keyring"
mkdir -p "$dir"/apt/{lists/partial,cache/archives/partial} "$dir/kernels" ||
  fail "cannot write to $dir: run as root, or set HARN_VM_DIR"
exec 9> "$dir/lock"
flock 9

missing=()
for series; do
  if [ -n "$update" ] || [ ! -f "$dir/kernels/$series/release" ]; then missing+=("$series"); fi
done
[ ${#missing[@]} -gt 0 ] || exit 0

{
  for suite in "debian bookworm" "debian-security bookworm-security" "debian bookworm-backports" \
    "debian-security bullseye-security" "debian trixie-backports" "debian sid"; do
    echo "deb [signed-by=$keyring] $mirror/$suite main"
  done
} > "$dir/apt/sources.list"
cat > "$dir/apt/apt.conf" <<CONFIG
Dir::State::Lists "$dir/apt/lists";
Dir::Cache "$dir/apt/cache";
Dir::Etc::SourceList "$dir/apt/sources.list";
Dir::Etc::SourceParts "/dev/null";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Sandbox::User "root";
CONFIG
export APT_CONFIG="$dir/apt/apt.conf"
apt-get -qq update || fail "apt-get update failed; the sources are in $dir/apt/sources.list"

# newest SERIES prints the package of the newest kernel, and its version.
newest() {
  local version
  version=$(apt-cache madison linux-image-amd64 | awk -F'|' '{gsub(/ /, "", $2); print $2}' |
    grep -E "^${1//./\\.}\." | sort -V | tail -n 1)
  [ -n "$version" ] || return 1
  apt-cache show "linux-image-amd64=$version" |
    sed -n 's/^Depends:.*\(linux-image-[0-9][^ ,]*\) (= \([^)]*\)).*/\1 \2/p' | head -n 1
}

# Two thirds of the modules, for hardware that no VM has.
useless=()
for part in drivers/gpu drivers/media drivers/net/ethernet drivers/net/wireless drivers/infiniband drivers/scsi sound; do
  useless+=(--exclude "*/kernel/$part/*")
done

work=$(mktemp -d "$dir/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
for series in "${missing[@]}"; do
  read -r package version < <(newest "$series") || fail "Debian has no kernel $series.* now: see $mirror/debian"
  release=${package#linux-image-}
  to=$dir/kernels/$series
  if [ -f "$to/release" ] && [ "$(< "$to/release")" = "$release" ]; then continue; fi
  rm -rf "${work:?}"/*
  mkdir -p "$work/root" "$work/kernel/lib/modules"
  packages=("$package")
  # Debian's kernels 7.x have the image and the modules in packages of their own.
  if apt-cache show "$package=$version" | grep -q '^Depends:.*linux-binary-'; then
    packages=("linux-binary-$release" "linux-modules-$release")
  fi
  for p in "${packages[@]}"; do
    (cd "$work" && apt-get -qq download "$p=$version") || fail "$series: cannot download $p=$version"
    dpkg-deb --fsys-tarfile "$work/$p"_*.deb | tar -x -C "$work/root" --keep-directory-symlink "${useless[@]}"
    rm -f "$work/$p"_*.deb
  done
  for modules in "$work"/root/lib/modules "$work"/root/usr/lib/modules; do
    if [ -d "$modules" ]; then cp -al "$modules/." "$work/kernel/lib/modules/"; fi
  done
  # It is in /boot, or beside the modules.
  image=$(find "$work/root" -type f \( -name "vmlinuz-$release" -o -name vmlinuz \) -print -quit)
  [ -n "$image" ] || fail "$series: no vmlinuz in ${packages[*]}; look with: dpkg-deb -c"
  cp "$image" "$work/kernel/vmlinuz"
  depmod -b "$work/kernel" "$release" 2> "$work/depmod" || fail "$series: depmod: $(< "$work/depmod")"
  echo "$release" > "$work/kernel/release"
  rm -rf "$to"
  mv "$work/kernel" "$to"
  echo "kernel $series: $release"
done
