#!/bin/sh
# Copyright (c) The nomad-driver-harn authors
# SPDX-License-Identifier: MPL-2.0

# Becomes root in namespaces of its own, and mounts over /etc.

set -e
exec unshare --user --map-root-user --mount sh -c 'mount -t tmpfs none /etc'
