module github.com/burin-labs/nomad-driver-harn/e2e

go 1.26.0

require (
	github.com/burin-labs/nomad-driver-harn v0.0.0
	github.com/hashicorp/nomad/api v0.0.0-20260907080526-08ef8f3d26da
)

require (
	github.com/go-viper/mapstructure/v2 v2.5.0 // indirect
	github.com/gorilla/websocket v1.5.3 // indirect
	github.com/hashicorp/cronexpr v1.1.3 // indirect
	github.com/hashicorp/go-cleanhttp v0.5.2 // indirect
	github.com/hashicorp/go-rootcerts v1.0.2 // indirect
	github.com/mitchellh/go-homedir v1.1.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace (
	github.com/burin-labs/nomad-driver-harn => ../
	github.com/hashicorp/hcl => github.com/hashicorp/hcl v1.0.1-nomad-1
)
