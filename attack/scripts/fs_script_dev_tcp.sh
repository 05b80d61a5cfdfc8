#!/bin/sh
# Copyright (c) The nomad-driver-harn authors
# SPDX-License-Identifier: MPL-2.0

# Reads a secret over a TCP connection of bash.
# admitted: network

set -e
exec bash -c 'exec 3<> "/dev/tcp/${ATTACK_TCP%:*}/${ATTACK_TCP#*:}" && head -c 12 <&3 | grep -q harn-secret-'
