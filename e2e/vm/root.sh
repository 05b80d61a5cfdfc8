#!/bin/bash
# Copyright (c) The nomad-driver-harn authors
# SPDX-License-Identifier: MPL-2.0
#
# root.sh [-u] ARCH: make the files of a small Debian machine of another
# architecture, which vm.sh -A ARCH has as its root: what the tests run, and all
# that it depends on. What is there already stays as it is; -u makes it anew.
#
# The packages are unpacked, and none of their scripts is run: what those would
# make, and the tests need, is made below. The result: $HARN_VM_DIR/ARCH/root
set -euo pipefail

fail() { echo "root.sh: $*" >&2; exit 1; }

packages=(base-files base-passwd bash bsdutils busybox-static ca-certificates coreutils curl dash default-jre-headless diffutils
  findutils gawk git grep gzip hostname iproute2 kmod libc-bin login mount nodejs openssh-client passwd perl procps
  python3 sed socat strace tar tinyproxy-bin util-linux btrfs-progs)

update=
if [ "${1:-}" = -u ]; then
  update=1
  shift
fi
arch=${1:-}
[ $# = 1 ] && [ "$arch" != amd64 ] || fail "name one architecture that is not this machine's, for example arm64"
. "$(dirname "$(realpath "$0")")/apt.sh"
wanted="$(cksum < "$0") ${packages[*]}"
if [ -z "$update" ] && [ "$(cat "$dir/root.packages" 2> /dev/null)" = "$wanted" ]; then exit 0; fi

apt_update
# Some packages ask for others before they are unpacked, which is of no concern here.
apt-get -qq -y --download-only -t bookworm install "${packages[@]}" > "$dir/apt/log" 2>&1 ||
  fail "apt-get cannot fetch the packages: $(tail -n 5 "$dir/apt/log")"
new=$(mktemp -d "$dir/root.XXXXXX")
trap 'rm -rf "$new"' EXIT
chmod 755 "$new"
# As Debian's installer does before it unpacks anything.
for d in bin sbin lib; do
  mkdir -p "$new/usr/$d"
  ln -s "usr/$d" "$new/$d"
done
for deb in "$dir"/apt/cache/archives/*.deb; do
  dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$new" --keep-directory-symlink \
    --exclude './usr/share/doc/*' --exclude './usr/share/man/*' --exclude './usr/share/locale/*' --exclude './usr/share/info/*'
  printf '%s\nStatus: install ok unpacked\n\n' "$(dpkg-deb -f "$deb")" >> "$new/status"
done
cp "$new/usr/share/base-passwd/passwd.master" "$new/etc/passwd"
cp "$new/usr/share/base-passwd/group.master" "$new/etc/group"
sed 's/:.*/:*:19000:0:99999:7:::/' "$new/etc/passwd" > "$new/etc/shadow"
chmod 640 "$new/etc/shadow"
chown 0:42 "$new/etc/shadow" # group shadow
: > "$new/etc/gshadow"
mkdir -p "$new/var/lib/dpkg"
mv "$new/status" "$new/var/lib/dpkg/status"
echo vm > "$new/etc/hostname"
echo "127.0.0.1 localhost vm" > "$new/etc/hosts"
echo "nameserver 127.0.0.1" > "$new/etc/resolv.conf"
printf '%s\n' 'passwd: files' 'group: files' 'shadow: files' 'hosts: files dns' > "$new/etc/nsswitch.conf"
ln -s gawk "$new/usr/bin/awk"
ln -s /usr/share/zoneinfo/Etc/UTC "$new/etc/localtime"
for java in "$new"/usr/lib/jvm/java-*-openjdk-*/bin/java; do ln -sf "${java#"$new"}" "$new/usr/bin/java"; done
cat "$new"/usr/share/ca-certificates/mozilla/*.crt > "$new/etc/ssl/certs/ca-certificates.crt"
mkdir -p "$new"/{proc,sys,dev,run,tmp,root,work} && chmod 1777 "$new/tmp"
# The loader's cache: this machine's ldconfig reads libraries of any architecture.
ldconfig -r "$new" 2> /dev/null || true
rm -rf "$dir/root"
mv "$new" "$dir/root"
echo "$wanted" > "$dir/root.packages"
rm -rf "$dir/apt/cache/archives"/*.deb
echo "root of $arch: $(du -sh "$dir/root" | cut -f1)"
