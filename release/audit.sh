#!/bin/bash
# Copyright (c) The nomad-driver-harn authors
# SPDX-License-Identifier: MPL-2.0
#
# audit.sh TOOLS VERSION: look up the known vulnerabilities of what the plugin links, by
# govulncheck of that version, which is installed in TOOLS. It fails for one that the
# plugin's code reaches. Where the database (GOVULNDB, or https://vuln.go.dev) cannot be
# read, it says so, and that is no failure: a machine without the internet can do no more.
set -euo pipefail

tools=$1 version=$2 database=${GOVULNDB:-https://vuln.go.dev}
cd "$(dirname "$(realpath "$0")")/.."
if ! curl -fsS --max-time 20 -o /dev/null "$database/index/modules.json.gz" 2> /dev/null &&
  ! curl -fsS --max-time 20 -o /dev/null "$database/index/modules.json" 2> /dev/null; then
  echo "audit: $database cannot be reached from here: known vulnerabilities were not looked up"
  exit 0
fi
[ "$("$tools/govulncheck" -version 2> /dev/null | sed -n 's/^Scanner: govulncheck@//p')" = "$version" ] ||
  GOBIN=$tools go install "golang.org/x/vuln/cmd/govulncheck@$version"
CGO_ENABLED=0 "$tools/govulncheck" -db "$database" . ./executor/image/...
