#!/bin/bash
# Copyright (c) The nomad-driver-harn authors
# SPDX-License-Identifier: MPL-2.0
#
# contained.sh [OPTION ...] -- COMMAND...: run a command in PID and mount namespaces of
# its own, and in those that the options of unshare(1) name besides. All that it starts
# and mounts ends with it, and so do the directory CONTAINED_DIR, which it finds in its
# environment, and the parents of tasks' cgroups that a Nomad agent makes.
#
# If this script is interrupted, the command is asked to end (SIGTERM), and killed with
# all that it has started after CONTAINED_GRACE seconds (20). The exit status is the
# command's; 128 and the signal's number if one has ended it.
set -uo pipefail

child=
end() {
  trap '' INT TERM HUP
  if [ -n "$child" ]; then
    kill -TERM $(cat "/proc/$child/task/$child/children" 2> /dev/null) 2> /dev/null
    for ((tenths = 10 * ${CONTAINED_GRACE:-20}; tenths > 0; tenths--)); do
      kill -0 "$child" 2> /dev/null || break
      sleep 0.1
    done
    kill -KILL "$child" 2> /dev/null # and by that process 1 of the namespace, and so all of it
    { wait "$child"; } 2> /dev/null
  fi
  exit "$1"
}
clean() {
  local code=$?
  rm -rf "$CONTAINED_DIR"
  for group in /sys/fs/cgroup/*/nomad /sys/fs/cgroup/nomad.slice; do
    grep -qxF "$group" <<< "$cgroups" || find "$group" -depth -type d -exec rmdir {} \; 2> /dev/null
  done
  exit $code
}
cgroups=$(ls -d /sys/fs/cgroup/*/nomad /sys/fs/cgroup/nomad.slice 2> /dev/null)
# Not in /tmp, of which tasks have a private version.
CONTAINED_DIR=$(mktemp -d /var/tmp/harn.XXXXXX) || exit 2
export CONTAINED_DIR
trap clean EXIT
trap 'end 129' HUP
trap 'end 130' INT
trap 'end 143' TERM
chmod 711 "$CONTAINED_DIR"
options=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  options+=("$1")
  shift
done
shift
# Process 1 is a shell, which reaps what the command leaves, and passes on that it shall
# end. What a shell starts in the background would ignore interrupts.
setpriv --pdeathsig KILL -- unshare --mount --propagation private --pid --mount-proc --fork --kill-child "${options[@]}" -- bash -c '
  env --default-signal=INT,QUIT "$@" <&0 &
  command=$!
  trap "kill -TERM $command" TERM
  trap "" INT
  while wait "$command"; status=$?; kill -0 "$command" 2> /dev/null; do :; done
  exit $status' contained "$@" <&0 &
child=$!
wait "$child"
exit $?
