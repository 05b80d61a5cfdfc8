#!/bin/bash
# Copyright (c) The nomad-driver-harn authors
# SPDX-License-Identifier: MPL-2.0
#
# vm.sh [OPTIONS] -- COMMAND...: run a command under another Linux kernel, as
# root, on unified cgroup v2, with this machine's own files.
#
#   -A ARCH     the machine's architecture (amd64). With arm64, its files are those
#               of root.sh and this repository's
#   -k SERIES   the kernel, fetched if it is not there (6.12); see kernels.sh
#   -a ARGS     further kernel arguments: 'lsm=lockdown,yama,apparmor' is a
#               kernel without Landlock
#   -m MIB      memory (2048)
#   -c CPUS     (2)
#   -t SECONDS  how long all of it may take (300)
#   -w DIR      share DIR, writable (any number). All else is a read-only view
#               of this machine's / below a tmpfs that ends with the VM
#   -M MODULES  modules to load, separated by commas: bridge,veth
#   -n          a network: the guest is 10.0.2.15, and 10.0.2.2 this machine's
#               127.0.0.1
#   -l FILE     the kernel's log
#
# The command's standard output and error come on standard output, and its exit
# status is that of vm.sh; 124 is the end of the time, 125 that the VM ended
# before the command did: twice, if it had not begun, since QEMU's emulation
# crashes newer kernels at boot at times. The guest has no network if -n does not give it one, and no KVM is
# needed: programs are some 7 times slower than on the host, so compile before.
set -uo pipefail

fail() { echo "vm.sh: $*" >&2; exit 2; }

here=$(dirname "$(realpath "$0")")
cache=${HARN_VM_DIR:-/var/cache/nomad-driver-harn}
arch=amd64 series=6.12 memory=2048 cpus=2 append= limit=300 shares=() modules= log= network=
options=("$@")
while getopts A:k:a:m:c:t:w:M:nl: option; do
  case $option in
    A) arch=$OPTARG ;;
    k) series=$OPTARG ;;
    a) append=$OPTARG ;;
    m) memory=$OPTARG ;;
    c) cpus=$OPTARG ;;
    t) limit=$OPTARG ;;
    w) shares+=("$(realpath -e "$OPTARG")") || fail "-w $OPTARG: no such directory" ;;
    M) modules=${OPTARG//,/ } ;;
    n) network=10.0.2 ;;
    l) log=$OPTARG ;;
    *) fail "see the head of $0 for its options" ;;
  esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || fail "no command; see the head of $0"
[ "$(id -u)" = 0 ] || fail "sharing / needs root"
case $arch in
  amd64)
    emulator=qemu-system-x86_64 package=qemu-system-x86 files=/
    machine=(-accel tcg -cpu max,la57=off -machine pc)
    console=ttyS0 kernelarguments="8250.nr_uarts=4 no_timer_check mitigations=off random.trust_cpu=on"
    output=/dev/ttyS1 ends=/dev/ttyS2 ;;
  arm64)
    # A processor that is there to buy: what "max" has more makes emulation slow.
    emulator=qemu-system-aarch64 package=qemu-system-arm files=$cache/arm64/root
    machine=(-accel tcg -cpu neoverse-n1 -machine "virt,gic-version=3")
    console=ttyAMA0 kernelarguments="8250.nr_uarts=4 mitigations=off random.trust_bootloader=on"
    output=/dev/ttyS0 ends=/dev/ttyS1 ;;
  *) fail "-A $arch: expected amd64 or arm64" ;;
esac
for p in $emulator:$package busybox:busybox-static cpio:cpio modprobe:kmod xz:xz-utils; do
  command -v "${p%%:*}" > /dev/null || fail "${p%%:*} is not installed: make setup, or apt-get install ${p##*:}"
done

# In a mount namespace of its own: what is mounted below ends with it. The
# kernel is fetched before, for the cache to be on the host.
if [ "${HARN_VM_NAMESPACE:-}" != $$ ]; then # exec keeps the process ID
  "$here/kernels.sh" -A "$arch" "$series" || exit 2
  [ "$arch" = amd64 ] || "$here/root.sh" "$arch" || exit 2
  HARN_VM_NAMESPACE=$$ exec unshare --mount --propagation private -- "$0" "${options[@]}"
fi
unset HARN_VM_NAMESPACE
[ "$arch" = amd64 ] || cache=$cache/$arch
kernel=$cache/kernels/$series
release=$(< "$kernel/release") || exit 2

dir=$(mktemp -d "${TMPDIR:-/tmp}/harn-vm.XXXXXX")
qemu=
cleanup() {
  [ -z "$qemu" ] || kill "$qemu" 2> /dev/null
  umount -l "$dir/root" 2> /dev/null
  rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP
log=${log:-$dir/kernel.log}

# The initial file system: busybox, the modules that mount the shares, and two
# scripts, the second of which runs with the machine's files as its root.
initial=$dir/initial
mkdir -p "$initial"/{bin,modules,proc,sys,dev,lower,over,new}
busybox=$(command -v busybox)
[ "$files" = / ] || busybox=$files/bin/busybox
cp "$busybox" "$initial/bin/busybox"
number=0
: > "$initial/modules/list"
while read -r file; do
  name=$((number++)).ko
  case $file in
    *.xz) xz -dc "$file" > "$initial/modules/$name" ;;
    *) cp "$file" "$initial/modules/$name" ;;
  esac
  echo "$name" >> "$initial/modules/list"
done < <(for m in virtio_pci overlay 9pnet_virtio 9p; do
  modprobe -d "$kernel" -S "$release" --show-depends "$m" 2> /dev/null # none: it is built in
done | awk '$1 == "insmod" && !seen[$2]++ {print $2}')
{
  printf 'cd %q\n' "$PWD"
  printf 'export PATH=%q HOME=%q HARN_VM=%q\n' "$PATH" "${HOME:-/root}" "$series"
  printf '%q ' "$@"
} > "$initial/command"
for i in "${!shares[@]}"; do echo "share$i ${shares[i]}"; done > "$initial/shares"
echo "$release" > "$initial/release"
[ -z "$network" ] || modules+=" virtio_net"
echo "output=$output ends=$ends network=$network" > "$initial/lines"

# 9p needs a cache: without one an inode is not kept, and a Landlock rule for a
# directory does not hold for what is below.
cat > "$initial/init" <<'INIT'
#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
for m in $($b cat /modules/list); do $b insmod "/modules/$m" || echo "vm: insmod $m failed"; done
share() { $b mount -t 9p -o "trans=virtio,version=9p2000.L,msize=262144,cache=loose,$3" "$1" "$2" || echo "vm: mounting $2 failed"; }
share root /lower ro
$b mount -t tmpfs -o size=80% tmpfs /over
$b mkdir /over/up /over/work
$b mount -t overlay -o lowerdir=/lower,upperdir=/over/up,workdir=/over/work overlay /new || echo "vm: mounting / failed"
read release < /release
$b mkdir -p /new/proc /new/sys /new/dev /new/run /new/.vm "/new/lib/modules/$release"
$b cp /init2 /command /modules.load /lines /new/.vm/
share modules "/new/lib/modules/$release" ro
while read tag dir; do
  $b mkdir -p "/new$dir"
  share "$tag" "/new$dir" rw
done < /shares
$b umount /proc
$b umount /sys
$b mount --move /dev /new/dev
exec $b switch_root /new /bin/bash /.vm/init2
INIT
echo "$modules" > "$initial/modules.load"
cat > "$initial/init2" <<'INIT'
#!/bin/bash
. /.vm/lines
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t securityfs security /sys/kernel/security
mount -t tracefs tracefs /sys/kernel/tracing
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts -o mode=620,ptmxmode=666
mount -t tmpfs shm /dev/shm
ln -sf /proc/self/fd /dev/fd
ln -sf fd/0 /dev/stdin
ln -sf fd/1 /dev/stdout
ln -sf fd/2 /dev/stderr
mount -t tmpfs run /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for c in $(< /sys/fs/cgroup/cgroup.controllers); do echo "+$c" > /sys/fs/cgroup/cgroup.subtree_control; done
# The first cgroup, and the first limit on CPU time, have the kernel change its
# code, which QEMU's emulation may not survive: here, while nothing else runs.
mkdir /sys/fs/cgroup/first && echo "50000 100000" > /sys/fs/cgroup/first/cpu.max
busybox ip link set lo up
hostname vm
for m in $(< /.vm/modules.load); do modprobe "$m" || echo "vm: the kernel has no module $m" > "$output"; done
if [ -n "$network" ]; then
  busybox ip address add "$network.15/24" dev eth0
  busybox ip link set eth0 up
  busybox ip route add default via "$network.2"
fi
stty -F "$output" raw -echo
stty -F "$ends" raw -echo
echo begun > "$ends"
setsid bash /.vm/command < /dev/null > "$output" 2>&1
status=$?
sync
stty -F "$output" raw -echo # returns when all is written
echo "status=$status" > "$ends"
stty -F "$ends" raw -echo
umount -a -t 9p
exec busybox poweroff -f
INIT
chmod +x "$initial/init"
(cd "$initial" && find . -print0 | cpio -0 -o -H newc --quiet) > "$dir/initrd"

# / without what is mounted on it, as far as it can be written.
mkdir "$dir/root"
repository=$(realpath "$here/../..")
mount --bind "$files" "$dir/root" || exit 2
if [ "$files" != / ]; then
  mkdir -p "$files$repository"
  mount --bind -o ro "$repository" "$dir/root$repository" || exit 2
fi
mount -o remount,bind,ro "$dir/root" || exit 2
command=("$emulator" "${machine[@]}" -smp "$cpus" -m "$memory"
  -nodefaults -display none -no-reboot -kernel "$kernel/vmlinuz" -initrd "$dir/initrd"
  -append "console=$console panic=-1 loglevel=4 $kernelarguments rdinit=/init $append"
  -serial "file:$log" -device virtio-rng-pci)
case $arch in
  amd64) command+=(-serial stdio -serial "file:$dir/status") ;;
  *) command+=(-chardev stdio,id=output -device pci-serial,chardev=output
    -chardev "file,id=ends,path=$dir/status" -device pci-serial,chardev=ends) ;;
esac
[ -z "$network" ] || command+=(-netdev "user,id=net,net=$network.0/24" -device virtio-net-pci,netdev=net,romfile=)
share() {
  command+=(-fsdev "local,id=$1,path=$2,security_model=none,multidevs=remap${3:-}" -device "virtio-9p-pci,fsdev=$1,mount_tag=$1")
}
share root "$dir/root" ,readonly=on
share modules "$kernel/lib/modules/$release" ,readonly=on
for i in "${!shares[@]}"; do share "share$i" "${shares[i]}"; done

boot() {
  : > "$dir/status"
  "${command[@]}" < /dev/null &
  qemu=$!
  while kill -0 "$qemu" 2> /dev/null; do
    if [ $SECONDS -ge $end ]; then
      echo "vm.sh: kernel $series: not done after $limit seconds; the kernel's log ends with:" >&2
      tail -n 20 "$log" >&2
      exit 124
    fi
    sleep 0.1
  done
  wait "$qemu"
  qemu=
  status=$(sed -n 's/^status=\([0-9]*\).*/\1/p' "$dir/status")
}
end=$((SECONDS + limit))
boot
if [ -z "$status" ] && ! grep -q '^begun' "$dir/status"; then
  echo "vm.sh: kernel $series: the VM ended at its boot; booting it again" >&2
  boot
fi
if [ -z "$status" ]; then
  echo "vm.sh: kernel $series: the VM ended before the command; the kernel's log ends with:" >&2
  tail -n 40 "$log" >&2
  exit 125
fi
exit "$status"
