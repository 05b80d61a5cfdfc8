#!/bin/sh
# Copyright (c) The nomad-driver-harn authors
# SPDX-License-Identifier: MPL-2.0

# Enters the namespaces of process 1.
# control: root

set -e
exec nsenter --target 1 --mount --net true
