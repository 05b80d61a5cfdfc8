#!/bin/bash
# demo.sh NOMAD PLUGIN: start a Nomad agent with the plugin, show what the node
# advertises, run hello.nomad.hcl, show its logs, stop the agent. Exits with 1
# if a step fails, or if the task could do something that its policy denies.
#
# The agent runs in namespaces of its own: it listens nowhere outside of them,
# and its processes and mounts end with them, also if this script is interrupted.
set -euo pipefail

if [ "$(id -u)" != 0 ]; then
  echo "demo.sh: starting tasks as other users needs root: sudo make demo" >&2
  exit 1
fi
nomad=$(realpath "$1") plugin=$(realpath "$2") here=$(dirname "$(realpath "$0")")
if [ -z "${CONTAINED_DIR:-}" ]; then
  exec "$here/../internal/contained.sh" --net -- "$0" "$nomad" "$plugin"
fi
dir=$CONTAINED_DIR # it ends with this script
mkdir "$dir/plugins"
cp "$plugin" "$dir/plugins/"
# Records of this agent alone.
sed "s|/var/lib/nomad-driver-harn|$dir/state|" "$here/agent.hcl" > "$dir/agent.hcl"

# What is particular to this machine: no network but the loopback interface,
# and no cloud to ask for metadata.
cat > "$dir/demo.hcl" <<CONFIG
disable_update_check = true
client {
  alloc_dir         = "$dir/alloc"
  alloc_mounts_dir  = "$dir/mounts"
  network_interface = "lo"
  options {
    "fingerprint.denylist" = "env_aws,env_gce,env_azure,env_digitalocean,consul,vault"
  }
}
CONFIG

agent=
stop() {
  local code=$?
  trap - EXIT
  if [ -n "$agent" ]; then
    echo "== stop the agent"
    kill -INT "$agent" 2>/dev/null && wait "$agent" || true
  fi
  if [ $code != 0 ]; then
    echo "demo.sh: failed; the agent's log ends with:" >&2
    tail -n 20 "$dir/log" >&2 || true
  fi
  exit $code
}
trap stop EXIT

echo "== start the agent"
ip link set lo up 2>/dev/null || ifconfig lo up
env -u AWS_CA_BUNDLE TMPDIR="$dir" "$nomad" agent -dev -config="$dir/agent.hcl" -config="$dir/demo.hcl" \
  -plugin-dir="$dir/plugins" > "$dir/log" 2>&1 &
agent=$!
ready() { "$nomad" node status -filter 'Status == "ready"' 2>/dev/null | grep -q ready; }
for _ in $(seq 300); do
  ready && break
  kill -0 "$agent" 2>/dev/null || { echo "demo.sh: the agent has ended" >&2; exit 1; }
  sleep 0.2
done
ready || { echo "demo.sh: the agent is not ready after a minute" >&2; exit 1; }

echo "== what the node advertises"
"$nomad" node status -self -verbose | grep '^driver\.harn' || { echo "demo.sh: the driver was not found" >&2; exit 1; }

echo "== nomad job run hello.nomad.hcl"
"$nomad" job run -detach "$here/hello.nomad.hcl"
alloc= state=
for _ in $(seq 300); do
  alloc=$("$nomad" job allocs -t '{{range .}}{{.ID}}{{end}}' hello 2>/dev/null) || true
  [ -z "$alloc" ] || state=$("$nomad" alloc status -t '{{.ClientStatus}}' "$alloc")
  case $state in complete | failed) break ;; esac
  sleep 0.2
done
echo "== nomad alloc status ${alloc:0:8}"
"$nomad" alloc status "$alloc" | sed -n '/^Recent Events/,$p'
if [ "$state" != complete ]; then
  echo "demo.sh: the allocation is ${state:-not placed}, expected complete" >&2
  exit 1
fi

echo "== nomad alloc logs ${alloc:0:8}"
logs=$("$nomad" alloc logs "$alloc")
echo "$logs"

missing=
while IFS= read -r line; do
  grep -qF "$line" <<< "$logs" || missing+="  $line"$'\n'
done <<'EXPECTED'
write to the workspace: allowed
read the workspace: allowed
list /root: denied
write to /etc: denied
open a socket: denied
hello from hello
EXPECTED
if [ -n "$missing" ]; then
  printf 'demo.sh: the log does not say:\n%s' "$missing" >&2
  exit 1
fi
echo "== as expected: what the policy grants was allowed, the rest was denied"
