#!/bin/sh
# Copyright (c) The nomad-driver-harn authors
# SPDX-License-Identifier: MPL-2.0

# Reads a disk of the machine.
# control: root

set -e
for disk in /dev/vda /dev/sda /dev/nvme0n1 /dev/loop0; do
  dd if=$disk of=/dev/null bs=512 count=1 2> /dev/null && exit 0
done
exit 1
