#!/bin/sh
# Copyright (c) The nomad-driver-harn authors
# SPDX-License-Identifier: MPL-2.0

# Reads a file outside of every root by paths that the shell builds.

set -e
cd "$ATTACK_WORKSPACE"
cat "../../../../../../../../../../../..$ATTACK_SECRET" | grep harn-secret-
