#!/bin/bash
# Writes the module that builds an older Nomad: pin.sh 1.10.5 v0.0.0-DATE-COMMIT.
# The second is the version of github.com/hashicorp/nomad/api, of the tag's time:
# a release takes the directory beside it, which its module does not have.
#
# All else is what the release was built with: the requirements and replacements of
# its own go.mod, and its go directive, which decides on Go's defaults.
set -euo pipefail
cd "$(dirname "$0")"
version=$1 api=$2
dir=${version%.*} nomad=github.com/hashicorp/nomad
its=$(go mod download -json $nomad@v$version | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')
mkdir -p $dir
cd $dir
{ echo "// Nomad $version's own go.mod, as a module that requires it: written by ../pin.sh."
  grep -v -e '^// ' "$its"; } > go.mod
go mod edit -module github.com/burin-labs/nomad-driver-harn/e2e/nomad/$dir \
  -require $nomad@v$version -require $nomad/api@$api -dropreplace $nomad/api
rm -f go.sum
go mod download $nomad@v$version
go list -mod=mod -deps $nomad > /dev/null
