#!/bin/bash
# Copyright (c) The nomad-driver-harn authors
# SPDX-License-Identifier: MPL-2.0
#
# fetch.sh: install the programs of docs/programs.md, from Debian and npm, into
# a layer above this machine's /usr, /etc and /var, which stay as they are.
# with.sh runs commands that see the layer. As root, on Debian.
#
# What is there already stays, until the lists of programs (packages,
# npm/package-lock.json) or this machine's own packages change. The result:
#   $HARN_PROGRAMS_DIR/programs/layer/{usr,etc,var}
set -euo pipefail

here=$(dirname "$(realpath "$0")")
dir=${HARN_PROGRAMS_DIR:-/var/cache/nomad-driver-harn}/programs
mirror=${DEBIAN_MIRROR:-http://deb.debian.org}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

fail() { echo "fetch.sh: $*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail "installing packages needs root"
for p in apt-get:apt flock:util-linux npm:nodejs; do
  command -v "${p%%:*}" > /dev/null || fail "${p%%:*} is not installed: it comes with the package ${p##*:}"
done
[ -r $keyring ] || fail "$keyring is missing: install debian-archive-keyring"
mkdir -p "$dir" || fail "cannot write to $dir: set HARN_PROGRAMS_DIR"

# In a mount namespace of its own: what is mounted below ends with it.
if [ "${HARN_PROGRAMS_NAMESPACE:-}" != $$ ]; then # exec keeps the process ID
  exec 9> "$dir/lock"
  flock 9
  debian=$(cat "$here/packages" /var/lib/dpkg/status | sha256sum)
  npm=$(cat "$here"/npm/package-lock.json <(echo "$debian") | sha256sum)
  if [ "$(cat "$dir/npm" 2> /dev/null)" = "$npm" ]; then exit 0; fi
  echo "fetching programs to $dir, once: some 3 GB, some minutes" >&2
  rm -f "$dir/npm"
  [ "$(cat "$dir/debian" 2> /dev/null)" = "$debian" ] || rm -rf "$dir"/{debian,layer}
  rm -rf "$dir/work"
  export HARN_PROGRAMS_STAMPS="$debian:$npm"
  HARN_PROGRAMS_NAMESPACE=$$ exec unshare --mount --propagation private -- "$0"
fi

# The machine's root with the layer above it. /run and /tmp are empty, so that no
# script of a package finds a service of the machine.
mkdir -p "$dir"/{layer,work,root}
root=$dir/root
mount -t overlay -o "lowerdir=/,upperdir=$dir/layer,workdir=$dir/work" overlay "$root" ||
  fail "no overlay file system above / with $dir: set HARN_PROGRAMS_DIR to a directory on ext4 or xfs"
for place in proc dev; do mount --rbind "/$place" "$root/$place"; done
for place in run tmp; do mount -t tmpfs tmpfs "$root/$place"; done
mount -t tmpfs tmpfs "$root/root"
cat /etc/resolv.conf > "$root/tmp/resolv.conf" 2> /dev/null || true

# apt, with sources of its own.
release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
mkdir -p "$root"/tmp/{apt,npm}
cat > "$root/tmp/apt/sources.list" <<SOURCES
deb [signed-by=$keyring] $mirror/debian $release main
deb [signed-by=$keyring] $mirror/debian-security $release-security main
SOURCES
mkdir -p "$dir"/apt/{lists/partial,archives/partial}
mkdir -p "$root"/tmp/apt/{lists,archives}
mount --bind "$dir/apt/lists" "$root/tmp/apt/lists"
mount --bind "$dir/apt/archives" "$root/tmp/apt/archives"
cat > "$root/tmp/apt/apt.conf" <<CONFIG
Dir::State::Lists "/tmp/apt/lists";
Dir::Cache::Archives "/tmp/apt/archives";
Dir::Etc::SourceList "/tmp/apt/sources.list";
Dir::Etc::SourceParts "/dev/null";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
CONFIG
inside() { env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive \
  APT_CONFIG=/tmp/apt/apt.conf ${proxies[@]+"${proxies[@]}"} chroot "$root" "$@"; }
mapfile -t proxies < <(env | grep -iE '^(https?_proxy|no_proxy|npm_config_[a-z_]*|NODE_EXTRA_CA_CERTS|SSL_CERT_FILE)=' || true)

# unchanged says what to do if packages of this machine were changed meanwhile:
# what changes below an overlay is a stale file handle in it.
unchanged() {
  [ "$(cat "$here/packages" /var/lib/dpkg/status | sha256sum)" = "${HARN_PROGRAMS_STAMPS%:*}" ] ||
    echo ": somebody has installed packages on this machine meanwhile, run it again"
}

if [ ! -f "$dir/debian" ]; then
  # No service starts: invoke-rc.d(8) asks this program.
  printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
  chmod 755 "$root/usr/sbin/policy-rc.d"

  inside apt-get -qq update || fail "apt-get update failed: $mirror, $release"
  wanted=()
  while read -r package; do
    name=${package%%=*}
    found=$(inside apt-cache madison "$name" | awk -F'|' '{gsub(/ /, "", $2); print $2}')
    if grep -qxF -- "${package#*=}" <<< "$found"; then
      wanted+=("$package")
    else
      [ -n "$found" ] || fail "Debian $release has no package $name"
      echo "fetch.sh: the archive has no $package now, but $(head -n 1 <<< "$found")" >&2
      wanted+=("$name")
    fi
  done < <(grep -v '^#' "$here/packages")
  inside apt-get -qq -y --allow-downgrades install "${wanted[@]}" > "$dir/apt.log" 2>&1 < /dev/null ||
    { tail -n 20 "$dir/apt.log" >&2; fail "apt-get install failed$(unchanged)"; }
  rm "$root/usr/sbin/policy-rc.d"
  echo "${HARN_PROGRAMS_STAMPS%:*}" > "$dir/debian"
fi

# npm, exactly as locked. Of all the packages' own scripts run three, which the
# programs need.
target=/usr/local/lib/programs
rm -rf "$root$target"
mkdir -p "$root$target" "$dir/npm-cache"
mount --bind "$dir/npm-cache" "$root/tmp/npm"
cp "$here"/npm/package*.json "$root$target"
inside sh -ec "
  cd $target
  npm install --no-save --ignore-scripts --no-audit --no-fund --cache /tmp/npm
  ln -sf $target/node_modules/node-linux-*/bin/node /usr/local/bin/node
  cd node_modules/@anthropic-ai/claude-code && /usr/local/bin/node install.cjs
  cd ../../opencode-ai && /usr/local/bin/node postinstall.mjs
  cd ../better-sqlite3 && PATH=/usr/local/bin:\$PATH ../.bin/node-gyp rebuild --release --nodedir=\$(echo $target/node_modules/node-linux-*)
  rm -rf build/Release/obj*" > "$dir/npm.log" 2>&1 ||
  { tail -n 20 "$dir/npm.log" >&2; fail "npm install failed"; }
for program in claude codex gemini opencode vite vitest tsc mcp-server-filesystem; do
  ln -sf "$target/node_modules/.bin/$program" "$root/usr/local/bin/$program"
done
umount -R "$root"
rm -rf "$dir/work" "$root"
echo "${HARN_PROGRAMS_STAMPS#*:}" > "$dir/npm"
