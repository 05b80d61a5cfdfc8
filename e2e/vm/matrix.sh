#!/bin/bash
# Copyright (c) The nomad-driver-harn authors
# SPDX-License-Identifier: MPL-2.0
#
# matrix.sh PACKAGE...: run the compiled tests of packages, bin/vm/PACKAGE.test,
# under each kernel of the matrix, and print how many passed, failed and were
# skipped. Exits with 1 if any failed. KERNELS="5.10 6.12" is some of them only.
# ARCH=arm64 is that architecture's matrix, with all files below bin/arm64.
#
# A kernel must have at least the Landlock ABI that the matrix says, and all
# else that the tests need: there, a test may be skipped for want of a higher
# ABI alone. The output of all tests is in bin/vm/KERNEL.log, what the attacks
# came to in bin/vm/attack/KERNEL. LIMIT=1800 is the time for one kernel, in
# seconds.
set -uo pipefail

here=$(dirname "$(realpath "$0")")
root=$(realpath "$here/../..")
LIMIT=${LIMIT:-1800}

# name, series, Landlock ABI, further kernel arguments
ARCH=${ARCH:-amd64}
case $ARCH in
  amd64)
    bin=$root/bin target=kernels
    matrix=(
      "5.10           5.10  0"  # has no Landlock
      "6.1-disabled   6.1   0  lsm=lockdown,yama,apparmor"
      "6.1            6.1   2"
      "6.12           6.12  6"
      "7.2            7.2  10"
      "7.3            7.3  11"
    ) ;;
  arm64)
    bin=$root/bin/arm64 target=kernels-arm64
    matrix=(
      "6.1            6.1   2"
      "7.3            7.3  11"
    ) ;;
  *) echo "matrix.sh: ARCH=$ARCH: expected amd64 or arm64" >&2; exit 2 ;;
esac
logs=$bin/vm

# What compiles, tries all there is of a small universe, or looks programs up takes long
# in a VM, and no kernel makes a difference to it.
ANYWHERE='^Test(TablesAreCurrent|Intersect.*OfTheUniverse|FindCommand|CommandsThatAreNone|WhatIsWrongWithAProgram|CommandElsewhereOnTheHost|ErrorsOfCommandsConceal|ToolchainsOutsideOfTheSystem|Alternatives)$'

# In the VM: the tests of each package, in its directory. A line before and
# after each says which and with what exit status.
if [ "${1:-}" = -guest ]; then
  export HARN_ATTACK_OUT=$2
  shift 2
  export HARN_ATTACK_BIN=$bin/attack HARN_ATTACK_RACES=${HARN_ATTACK_RACES:-20} ATTACK_TIMEOUT=60
  for package; do
    echo "=== PACKAGE $package"
    cd "$root/$package" && "$logs/$package.test" -test.v -test.timeout "${LIMIT}s" -test.skip "$ANYWHERE"
    status=$?
    # What takes the machine's first namespaces.
    if [ "$package" = executor ]; then
      HARN_KERNELTEST_ISOLATED=tests "$logs/$package.test" -test.v -test.timeout "${LIMIT}s" -test.run '^TestCoreSocket$' || status=1
    fi
    echo "=== STATUS $status"
  done
  exit 0
fi

[ $# -gt 0 ] || { echo "matrix.sh: name packages whose tests \"make $target\" has compiled" >&2; exit 2; }
for package; do
  [ -x "$logs/$package.test" ] || { echo "matrix.sh: no $logs/$package.test: run make $target" >&2; exit 2; }
done

# count LOG PACKAGE prints "passed failed skipped"; without a status, the VM or
# the tests' process died, which counts as a failure.
count() {
  awk -v package="$2" '
    /^=== PACKAGE / {here = $3 == package}
    !here {next}
    /^--- PASS:/ {passed++}
    /^--- FAIL:/ {failed++}
    /^--- SKIP:/ {skipped++}
    /^=== STATUS / {ended = 1; if ($3 != 0 && !failed) failed = 1}
    END {print passed + 0, failed + (ended ? 0 : 1), skipped + 0}' "$1"
}

# run boots one kernel for all packages; its row of the table goes to a file.
run() { # NAME SERIES ABI ARGUMENTS PACKAGE...
  local name=$1 series=$2 abi=$3 append=$4 began=$SECONDS log=$logs/$1.log failures='' status
  shift 4
  case " $* " in *" attack "*) rm -rf "$logs/attack/$name" ;; esac
  mkdir -p "$logs/attack/$name"
  "$here/vm.sh" -A "$ARCH" -k "$series" -a "$append" -t "$LIMIT" -w "$logs/attack/$name" -- \
    env HARN_REQUIRE_KERNEL=1 HARN_REQUIRE_ABI="$abi" LIMIT="$LIMIT" ARCH="$ARCH" ATTACK_RUN="${ATTACK_RUN:-}" \
    "$here/matrix.sh" -guest "$logs/attack/$name" "$@" > "$log" 2>&1
  status=$?
  {
    printf '%-14s %3s %4ss' "$name" "$abi" $((SECONDS - began))
    for package; do
      read -r passed failed skipped < <(count "$log" "$package")
      printf ' %16s' "$passed / $failed / $skipped"
      [ "$failed" = 0 ] || failures+=" $package"
    done
    printf '\n'
  } > "$logs/$name.row"
  if [ -z "$failures" ] && [ $status = 0 ]; then
    echo "kernel $name: passed"
    touch "$logs/$name.passed"
    return
  fi
  {
    echo "kernel $name: failed:${failures:- the VM, with $status}; all of its output is in $log, of which the end:"
    grep -v '^=== \(RUN\|PAUSE\|CONT\|NAME\)\|^ *--- \(PASS\|SKIP\)\|\[DEBUG\]\|\[TRACE\]' "$log" | tail -n 60
  } >&2
}

# Two at once: a VM does not keep a core busy all the time.
bad=0 selected=() jobs=${JOBS:-2}
for line in "${matrix[@]}"; do
  read -r name series abi append <<< "$line"
  case " ${KERNELS:-$name} " in *" $name "*) ;; *) continue ;; esac
  selected+=("$name")
  while [ "$(jobs -pr | wc -l)" -ge "$jobs" ]; do wait -n; done
  rm -f "$logs/$name.passed"
  run "$name" "$series" "$abi" "$append" "$@" &
done
[ ${#selected[@]} -gt 0 ] || { echo "matrix.sh: KERNELS=\"$KERNELS\" names none of the matrix" >&2; exit 2; }
wait

echo
echo "passed / failed / skipped tests; the kernel has at least that Landlock ABI"
printf '%-14s %3s %5s' kernel ABI time
printf ' %16s' "$@"
printf '\n'
for name in "${selected[@]}"; do
  cat "$logs/$name.row"
  [ -e "$logs/$name.passed" ] || bad=1
done
exit $bad
