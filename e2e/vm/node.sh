#!/bin/bash
# Copyright (c) The nomad-driver-harn authors
# SPDX-License-Identifier: MPL-2.0
#
# node.sh NAME PORT NOMAD CONFIG: in a VM of vm.sh -n, a machine whose operator is a
# test on the host: it listens at 127.0.0.1:PORT for this connection, and sends
# lines of shell commands. The answer to each is its exit status, the number of
# bytes that it has printed, and these. The machine ends with the connection.
name=$1 port=$2 nomad=$3 config=$4
export LC_ALL=C # a character is a byte
exec 3<> "/dev/tcp/10.0.2.2/$port" || exit 1
node=/var/tmp/node
mkdir -p -m 711 $node/{data,mounts,plugins,tmp}

# start PLUGIN starts the agent with this plugin, stop ends it.
start() {
  cp "$1" $node/plugins/new && mv $node/plugins/new $node/plugins/nomad-driver-harn || return
  TMPDIR=$node/tmp setsid "$nomad" agent -config "$config" >> $node/log 2>&1 < /dev/null &
  echo $! > $node/pid
}
stop() {
  local pid
  pid=$(< $node/pid)
  kill -INT "$pid" && while kill -0 "$pid" 2> /dev/null; do sleep 0.2; done
}

echo "$name" >&3
while IFS= read -r -u 3 line; do
  output=$(eval "$line" 2>&1 3>&-)
  printf '%d %d\n%s' $? ${#output} "$output" >&3
done
