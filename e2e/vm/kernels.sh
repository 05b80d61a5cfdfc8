#!/bin/bash
# Copyright (c) The nomad-driver-harn authors
# SPDX-License-Identifier: MPL-2.0
#
# kernels.sh [-u] [-A ARCH] SERIES...: fetch Debian's kernels of these series for
# vm.sh, for example 5.10 6.1 6.12 7.2 7.3: the newest of each that Debian has now.
# What is there already stays as it is; -u looks for a newer one.
#
# The packages are unpacked, not installed: see apt.sh. The result:
#   $HARN_VM_DIR/kernels/SERIES/{vmlinuz,release,lib/modules/RELEASE/}
# or below $HARN_VM_DIR/arm64 for -A arm64.
set -euo pipefail

fail() { echo "kernels.sh: $*" >&2; exit 1; }

update= arch=amd64
while getopts uA: option; do
  case $option in
    u) update=1 ;;
    A) arch=$OPTARG ;;
    *) fail "see the head of $0 for its options" ;;
  esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || fail "name a series of kernels, for example 6.12"
command -v depmod > /dev/null || fail "depmod is not installed: it is in Debian's package kmod; make setup installs it"
. "$(dirname "$(realpath "$0")")/apt.sh"
mkdir -p "$dir/kernels"

missing=()
for series; do
  if [ -n "$update" ] || [ ! -f "$dir/kernels/$series/release" ]; then missing+=("$series"); fi
done
[ ${#missing[@]} -gt 0 ] || exit 0

apt_update

# newest SERIES prints the package of the newest kernel, and its version.
newest() {
  local version
  version=$(apt-cache madison "linux-image-$arch" | awk -F'|' '{gsub(/ /, "", $2); print $2}' |
    grep -E "^${1//./\\.}\." | sort -V | tail -n 1)
  [ -n "$version" ] || return 1
  apt-cache show "linux-image-$arch=$version" |
    sed -n 's/^Depends:.*\(linux-image-[0-9][^ ,]*\) (= \([^)]*\)).*/\1 \2/p' | head -n 1
}

# Two thirds of the modules, for hardware that no VM has.
useless=()
for part in drivers/gpu drivers/media drivers/net/ethernet drivers/net/wireless drivers/infiniband drivers/scsi sound; do
  useless+=(--exclude "*/kernel/$part/*")
done

# plain prints a kernel as QEMU boots it: an image of EFI that unpacks itself
# (the kernel's drivers/firmware/efi/libstub/zboot-header.S) is unpacked.
plain() {
  [ "$(tail -c +5 "$1" | head -c 4 | tr -d '\0')" = zimg ] || { cat "$1"; return; }
  local offset size kind
  read -r offset size < <(od -An -t u4 -j 8 -N 8 "$1")
  kind=$(tail -c +25 "$1" | head -c 8 | tr -d '\0')
  case $kind in
    gzip) kind=gzip ;;
    zstd* | xz*) kind=${kind%%[0-9]*} ;;
    *) fail "$1 is compressed by \"$kind\", which this script does not know" ;;
  esac
  tail -c +$((offset + 1)) "$1" | head -c "$size" | "$kind" -dc
}

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
  if apt-cache show "$package=$version" | grep '^Depends:.*linux-binary-' > /dev/null; then
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
  plain "$image" > "$work/kernel/vmlinuz"
  depmod -b "$work/kernel" "$release" 2> "$work/depmod" || fail "$series: depmod: $(< "$work/depmod")"
  echo "$release" > "$work/kernel/release"
  rm -rf "$to"
  mv "$work/kernel" "$to"
  echo "kernel $series: $release"
done
