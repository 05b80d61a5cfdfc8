#!/bin/sh
# Copyright (c) The nomad-driver-harn authors
# SPDX-License-Identifier: MPL-2.0

# Takes all capabilities back by setpriv.
# control: root

set -e
exec setpriv --inh-caps +all --ambient-caps +sys_admin true
