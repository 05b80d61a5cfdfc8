#!/bin/sh
# Copyright (c) The nomad-driver-harn authors
# SPDX-License-Identifier: MPL-2.0

# Unpacks an archive whose names lead out of the workspace.

set -e
cd "$ATTACK_WORKSPACE"
echo attack > attack-packed
tar -cPf attack.tar --transform "s,.*,$ATTACK_OUTSIDE/unpacked," attack-packed
tar -xPf attack.tar
