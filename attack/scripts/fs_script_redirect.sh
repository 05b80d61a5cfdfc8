#!/bin/sh
# Copyright (c) The nomad-driver-harn authors
# SPDX-License-Identifier: MPL-2.0

# Writes a file outside of every root by a redirection of the shell.

set -e
echo attack > "$ATTACK_OUTSIDE/script"
