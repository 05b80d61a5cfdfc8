#!/bin/sh
# Copyright (c) The nomad-driver-harn authors
# SPDX-License-Identifier: MPL-2.0

# Runs a program in another root directory.
# control: root

set -e
exec chroot / true
