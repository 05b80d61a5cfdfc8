module github.com/burin-labs/nomad-driver-harn/e2e

go 1.26.0

require (
	github.com/burin-labs/nomad-driver-harn v0.0.0
	github.com/hashicorp/nomad/api v0.0.0-20260907080526-08ef8f3d26da
)

replace (
	github.com/burin-labs/nomad-driver-harn => ../
	github.com/hashicorp/hcl => github.com/hashicorp/hcl v1.0.1-nomad-1
)
