#!/bin/bash
# Copyright (c) The nomad-driver-harn authors
# SPDX-License-Identifier: MPL-2.0
#
# install.sh DIST NOMAD: test the packages that "make dist" has put into DIST. The deb is
# installed in a Debian of its own, in which a Nomad agent then runs a job, and removed:
# nothing is left. What is in the rpm is looked at by the tools of Red Hat.
#
# The Debian is made by mmdebstrap once, from the mirror that HARN_MIRROR names, and
# kept in /var/cache/nomad-driver-harn (HARN_VM_DIR).
set -euo pipefail

dist=$(realpath "$1") nomad=$(realpath "$2") here=$(dirname "$(realpath "$0")")
cache=${HARN_VM_DIR:-/var/cache/nomad-driver-harn} suite=bookworm
debian=$cache/debian-$suite.tar name=nomad-driver-harn
fail() { echo "install.sh: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "making a Debian of its own needs root"

if [ -z "${CONTAINED_DIR:-}" ]; then
  (cd "$dist" && sha256sum --quiet -c SHA256SUMS) || fail "$dist has no whole release: make dist"
  if ! [ -f "$debian" ]; then
    echo "== make a Debian in $debian"
    mkdir -p "$cache"
    mmdebstrap --quiet --format=tar --variant=minbase --include=iproute2,procps,bash-completion,zsh,fish,man-db \
      "$suite" "$debian.new" "${HARN_MIRROR:-http://deb.debian.org/debian}"
    mv "$debian.new" "$debian"
  fi
  # The container's tools are those of this machine.
  exec "$here/../internal/contained.sh" --net --ipc -- "$0" "$dist" "$nomad"
fi

echo "== the packages"
for arch in amd64 arm64; do
  binary=$dist/$(cd "$dist" && echo ${name}_*_linux_$arch)
  deb=$(echo "$dist"/${name}_*_$arch.deb)
  rpm=$(echo "$dist"/${name}-*."$(sed 's/amd64/x86_64/; s/arm64/aarch64/' <<< $arch)".rpm)
  [ "$(dpkg-deb -f "$deb" Architecture)" = $arch ] || fail "$deb is for another architecture than $arch"
  if dpkg-deb -I "$deb" | grep -E ' (pre|post)(inst|rm)\b'; then fail "$deb has a script"; fi
  [ -z "$(rpm -qp --scripts "$rpm" 2> /dev/null)" ] || fail "$rpm has a script"
  [ "$(rpm -qp --qf '%{LICENSE}' "$rpm" 2> /dev/null)" = "MPL-2.0 AND BUSL-1.1" ] || fail "$rpm names other licenses"
  rpm -K --nosignature "$rpm" > /dev/null || fail "$rpm: the digests are wrong"
  mkdir -p "$CONTAINED_DIR/$arch"/{deb,rpm}
  dpkg-deb -x "$deb" "$CONTAINED_DIR/$arch/deb"
  # rpm2cpio of rpm 4.18 ends with 1 for archives without directories. What is missing is seen below.
  (cd "$CONTAINED_DIR/$arch/rpm" && { rpm2cpio "$rpm" || true; } | cpio -id --quiet --no-absolute-filenames 2> /dev/null)
  for kind in deb rpm; do
    root=$CONTAINED_DIR/$arch/$kind
    cmp "$binary" "$root/opt/nomad/data/plugins/$name" || fail "the $kind for $arch has another plugin"
    [ "$(readlink "$root/usr/bin/$name")" = "/opt/nomad/data/plugins/$name" ] || fail "the $kind for $arch has no command"
    [ ! -e "$root/etc" ] || fail "the $kind for $arch has files in /etc: $(find "$root/etc")"
    [ -d "$root/var/lib/$name" ] || fail "the $kind for $arch has no directory of records"
    for page in "$root"/usr/share/man/man[15]/*; do
      zcat "$page" | mandoc -Tlint -W warning || fail "$page is not as a page should be"
    done
    for file in doc/$name/{LICENSE,CHANGELOG.md,copyright,examples/agent.hcl,docs/jobs.md} man/man1/$name-{explain,probe,run,suggest}.1.gz man/man5/$name.5.gz \
      bash-completion/completions/$name fish/vendor_completions.d/$name.fish; do
      [ -s "$root/usr/share/$file" ] || fail "the $kind for $arch has no $file"
    done
  done
  diff <(cd "$CONTAINED_DIR/$arch/deb" && find . -type f -o -type l | sed 's/vendor-completions/site-functions/' | sort) \
    <(rpm -qpl "$rpm" 2> /dev/null | sed 's/^/./' | sort | while read -r f; do [ ! -f "$CONTAINED_DIR/$arch/rpm/$f" ] && [ ! -L "$CONTAINED_DIR/$arch/rpm/$f" ] || echo "$f"; done) ||
    fail "deb and rpm for $arch have other files"
done

echo "== a Debian"
root=$CONTAINED_DIR/root
mkdir "$root"
tar -x -C "$root" -f "$debian" --exclude=./dev
mount --bind "$root" "$root"
mkdir -p "$root/dev" "$root/old"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm"
for device in null zero full random urandom tty; do
  : > "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
ln -s /proc/self/fd "$root/dev/fd"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mkdir "$root/run/test" # where nothing is compared
cp "$here/inside.sh" "$dist"/${name}_*_"$(dpkg --print-architecture)".deb "$root/run/test/"
sha256sum < "$dist/$(cd "$dist" && echo ${name}_*_linux_"$(dpkg --print-architecture)")" > "$root/run/test/sum"
: > "$root/usr/bin/nomad"
mount --bind "$nomad" "$root/usr/bin/nomad"
# As Nomad's own package leaves them.
chroot "$root" useradd --system --home-dir /opt/nomad --shell /bin/false nomad
mkdir -p "$root/opt/nomad/data" "$root/etc/nomad.d"
cat > "$root/etc/nomad.d/nomad.hcl" <<'CONFIG'
data_dir  = "/opt/nomad/data"
bind_addr = "0.0.0.0"
server {
  enabled          = true
  bootstrap_expect = 1
}
client {
  enabled = true
  servers = ["127.0.0.1"]
}
CONFIG
chroot "$root" chown nomad:nomad /opt/nomad/data
chroot "$root" chown -R nomad:nomad /etc/nomad.d
ip link set lo up
cd "$root"
pivot_root . old
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb bash /run/test/inside.sh
