module github.com/burin-labs/nomad-driver-harn

go 1.26.0

require golang.org/x/sys v0.49.0

require github.com/agext/levenshtein v1.2.3
