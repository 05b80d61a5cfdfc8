#!/bin/bash
# Copyright (c) The nomad-driver-harn authors
# SPDX-License-Identifier: MPL-2.0
#
# inside.sh: what install.sh does in its Debian, which is / here.
set -euo pipefail

umount -l /old
rmdir /old
cd /
name=nomad-driver-harn agent=
fail() { echo "inside.sh: $*" >&2; exit 1; }
trap '[ -z "$agent" ] || { [ $? = 0 ] || tail -n 30 /run/test/log >&2; kill -KILL "$agent" 2> /dev/null || true; }' EXIT

# state prints all files with modes, owners and sums, without what dpkg, man and Nomad
# keep for themselves, and all mounts, cgroups and processes.
state() {
  find / -xdev \( -path /var/lib/dpkg -o -path /var/log -o -path /var/cache -o -path /opt/nomad/data/server -o -path /opt/nomad/data/client \
    -o -path /opt/nomad/alloc_mounts -o -path /tmp \) -prune -o -printf '%p %y %m %u %g %l\n' | sort
  find /usr /etc /opt -xdev -path /opt/nomad/data -prune -o -type f ! -path /usr/bin/nomad -print0 | sort -z | xargs -0 sha256sum
  cut -d' ' -f5- /proc/self/mountinfo | grep -v /opt/nomad/ | sort
  ps -e -o args --no-headers | grep -F "$name\|harn-" || true
}
state > /run/test/before

echo "== install"
dpkg -i /run/test/*.deb > /run/test/dpkg
[ "$(sha256sum < /opt/nomad/data/plugins/$name)" = "$(< /run/test/sum)" ] || fail "the plugin is not what was built"
[ "$(stat -c %U /opt/nomad/data)" = nomad ] || fail "/opt/nomad/data has got another owner"
[ "$(ls /etc/nomad.d)" = nomad.hcl ] || fail "/etc/nomad.d has changed: $(ls /etc/nomad.d)"
su -s /bin/sh nobody -c "$name version" || fail "not everybody can run the command"
for page in 1:$name 1:$name-explain 1:$name-probe 1:$name-run 1:$name-suggest 5:$name; do
  man "${page%:*}" "${page#*:}" | grep -q SYNOPSIS || [ "${page%:*}" = 5 ] || fail "man ${page/:/ } shows nothing"
done
man 5 $name | grep -q sandbox_profile || fail "man 5 $name shows no fields of policies"

echo "== the shells complete"
bash -c '. /usr/share/bash-completion/bash_completion; _completion_loader '$name'; complete -p '$name | grep -qE -- "-C '?$name" || fail "bash does not complete"
[ "$(COMP_LINE="$name ex" COMP_POINT=20 $name)" = explain ] || fail "the command does not complete: $(COMP_LINE="$name ex" COMP_POINT=20 $name)"
fish -c "complete -C '$name ex'" | grep -qx explain || fail "fish does not complete"
fish -c "complete -C '$name run -pol'" | grep -qx -- -policy || fail "fish completes no option"
zsh -fc "autoload -Uz compinit; compinit -D; print \$_comps[$name]" | grep -qx "_$name" || fail "zsh does not know the completion"
[ "$(zsh -fc "compadd() { shift; print -l \$@ }; autoload -Uz +X _$name; words=($name ex); CURRENT=2; _$name")" = explain ] || fail "zsh does not complete"

echo "== run a job"
# The plugin gets into the configuration as the documentation says.
configure=$(grep -o "echo 'plugin .* /etc/nomad.d/$name.hcl" /usr/share/doc/$name/docs/releases.md) ||
  fail "docs/releases.md does not say how the plugin gets into the configuration"
eval "$configure"
cat > /run/test/agent.hcl <<'CONFIG'
disable_update_check = true
client {
  network_interface = "lo"
  options {
    "fingerprint.denylist" = "env_aws,env_gce,env_azure,env_digitalocean,consul,vault"
  }
}
advertise {
  http = "127.0.0.1"
  rpc  = "127.0.0.1"
  serf = "127.0.0.1"
}
CONFIG
export NOMAD_CLI_SHOW_HINTS=0
nomad agent -config /etc/nomad.d -config /run/test/agent.hcl > /run/test/log 2>&1 &
agent=$!
until [ "$(nomad node status -self -json 2> /dev/null | grep -c '"driver.harn": "1"')" = 1 ] && nomad node status -filter 'Status == "ready"' | grep -q ready; do
  kill -0 "$agent" 2> /dev/null || { wait "$agent" || true; fail "the agent has ended"; }
  [ $SECONDS -lt 300 ] || fail "the node has no driver harn"
  sleep 0.5
done
nomad job run -detach /usr/share/doc/$name/examples/hello.nomad.hcl > /dev/null
until nomad job allocs -t '{{range .}}{{.ClientStatus}}{{end}}' hello | grep -qE 'complete|failed'; do
  [ $SECONDS -lt 600 ] || fail "the job has not ended"
  sleep 0.5
done
logs=$(nomad alloc logs -job hello)
echo "$logs"
while IFS= read -r line; do
  grep -qF "$line" <<< "$logs" || fail "the job's log does not say: $line"
done <<'EXPECTED'
write to the workspace: allowed
list /root: denied
open a socket: denied
hello from hello
EXPECTED
nomad job stop -purge -detach hello > /dev/null
nomad system gc
kill -INT "$agent"
wait "$agent" || true
agent=

echo "== remove"
rm /etc/nomad.d/$name.hcl
dpkg --purge $name > /run/test/dpkg 2>&1 || { cat /run/test/dpkg >&2; fail "it cannot be removed"; }
if grep -i warning /run/test/dpkg; then fail "the removal left something"; fi
for place in /opt/nomad/data/plugins /var/lib/$name /usr/share/doc/$name; do
  [ ! -e "$place" ] || fail "$place is still there: $(find "$place")"
done
state > /run/test/after
diff /run/test/before /run/test/after || fail "not all is as it was before"
echo "== nothing is left"
