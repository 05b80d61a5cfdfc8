#!/bin/sh
# Copyright (c) The nomad-driver-harn authors
# SPDX-License-Identifier: MPL-2.0

# Builds the attacks into a directory, all static: build.sh DIRECTORY
set -e
cd "$(dirname "$0")"
mkdir -p "$1"
CGO_ENABLED=0 go build -trimpath -o "$1/suite" ./suite
# What the plugin carries, for supervisors to start as fast as they do there.
CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$1/executor" ../executor/image/program
if [ "$(go env GOARCH)" = amd64 ] && command -v gcc > /dev/null; then
  for source in c/*.c; do
    gcc -static -O1 -Wall -Wextra -Werror -o "$1/$(basename "$source" .c)" "$source"
  done
fi
if [ "$(go env GOARCH)" = arm64 ]; then
  for source in arm32/*.go; do
    CGO_ENABLED=0 GOARCH=arm go build -trimpath -o "$1/$(basename "$source" .go)" "$source"
  done
fi
install -m 755 scripts/*.sh scripts/*.py "$1/"
