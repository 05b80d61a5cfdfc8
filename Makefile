# The one place that knows the commands. "make" alone lists them.
.DEFAULT_GOAL := help
SHELL         := /bin/bash

GOLANGCI_LINT_VERSION := v2.15.0
GOFUMPT_VERSION       := v0.12.0
NFPM_VERSION          := v2.45.2
GOVULNCHECK_VERSION   := v1.9.0

BIN   := $(CURDIR)/bin
TOOLS := $(BIN)/tools
DIST  := $(CURDIR)/dist

# What the plugin is built for. GOARCH=arm64 puts it into bin/arm64; what the plugin
# carries is beside that of other architectures, which builds and tests do not see.
GOARCH := $(shell go env GOARCH)
PLUGIN := $(BIN)/$(if $(filter-out $(shell go env GOHOSTARCH),$(GOARCH)),$(GOARCH)/)nomad-driver-harn

# What "version" says. The date is the commit's, so that all builds of a commit are equal.
COMMIT  = $(shell git rev-parse HEAD 2> /dev/null && { git diff --quiet HEAD || echo -dirty; })
DATE    = $(shell TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2> /dev/null)
VERSION = -X github.com/burin-labs/nomad-driver-harn/version.Commit=$(subst $() ,,$(COMMIT)) -X github.com/burin-labs/nomad-driver-harn/version.Date=$(DATE)

# What the tests run, and the Debian package that it comes from.
PACKAGES := \
  /usr/bin/curl:curl /usr/bin/git:git /usr/bin/java:default-jre-headless \
  /usr/bin/node:nodejs /usr/bin/python3:python3 /bin/tar:tar \
  /usr/bin/tinyproxy:tinyproxy-bin /usr/lib/cni/bridge:containernetworking-plugins /usr/sbin/iptables:iptables /usr/bin/bwrap:bubblewrap \
  /usr/bin/qemu-system-x86_64:qemu-system-x86 /bin/busybox:busybox-static \
  /bin/cpio:cpio /sbin/depmod:kmod /usr/bin/xz:xz-utils /sbin/mkfs.btrfs:btrfs-progs /usr/bin/groff:groff-base

# What "make dist-test" needs besides.
DIST_PACKAGES := /usr/bin/mmdebstrap:mmdebstrap /usr/bin/rpm:rpm /usr/bin/rpm2cpio:rpm2cpio /bin/cpio:cpio /usr/bin/mandoc:mandoc

# The packages whose tests run under other kernels as well.
KERNEL_PACKAGES := landlock seccomp executor policy sandbox denials driver
ARM64_PACKAGES  := $(KERNEL_PACKAGES) executor/vfork

##@ Use

.PHONY: build
build: ## Build the plugin, a static binary: bin/nomad-driver-harn; GOARCH=arm64 for another machine: bin/arm64/
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o executor/image/files/$(GOARCH)/program ./executor/image/program
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w $(VERSION)" -o executor/image/files/$(GOARCH)/commands ./executor/image/commands
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w $(VERSION)" -o $(PLUGIN) .

# NOMAD=1.10.5 is a version that e2e/nomad has a module for, "" the newest.
NOMAD_BINARY := $(BIN)/nomad$(if $(NOMAD),-$(NOMAD))
.PHONY: nomad
nomad: ## Build Nomad from the Go module proxy: bin/nomad (4 minutes the first time), or another by NOMAD=1.10.5
	cd e2e/nomad/$(basename $(NOMAD)) && go build -o $(NOMAD_BINARY) github.com/hashicorp/nomad

.PHONY: demo
demo: build nomad ## Run example/hello.nomad.hcl on a Nomad agent of its own, and check what it says
	exec example/demo.sh $(BIN)/nomad $(BIN)/nomad-driver-harn

.PHONY: bench
bench: build nomad ## Measure the driver against raw_exec and exec, as root; RUN=start,memory for parts, SHORT=1 to try
	cd bench && go build -o $(BIN)/benchmark . && exec $(BIN)/benchmark -bin $(BIN) -out $(BIN)/bench $(if $(RUN),-run $(RUN)) $(if $(SHORT),-short) $(BENCHFLAGS)

.PHONY: metrics-demo
metrics-demo: build nomad $(BIN)/prometheus ## Run a Prometheus beside a plugin with tasks, ask each query of example/metrics/dashboard.json, draw docs/metrics.svg
	cd e2e && HARN_PROMETHEUS=$(BIN)/prometheus HARN_METRICS_ANSWERS=$(BIN)/metrics.json go test -count=1 -v -run '^TestMetrics$$' .
	cd bench && go run ./metrics $(BIN)/metrics.json ../docs/metrics.svg

# Not installed, which would start it as a service.
$(BIN)/prometheus:
	dir=$$(mktemp -d) && chmod 755 $$dir && cd $$dir && apt-get -qq -o APT::Sandbox::User=root download prometheus && \
	  dpkg-deb --fsys-tarfile prometheus_*.deb | tar -xO ./usr/bin/prometheus > $@.new && chmod 755 $@.new && mv $@.new $@ && rm -r $$dir

##@ Develop

.PHONY: test
test: lint unit e2e ## Run everything that can be tested on this kernel; e2e-vm and kernels are the rest

.PHONY: unit
unit: setup ## Run the tests of all packages, against the kernel too
	go test -count=1 ./...

.PHONY: e2e
e2e: build nomad setup $(BIN)/e2e-device ## Run jobs under a real Nomad agent; under another version by NOMAD=1.10.5
	cd e2e && go test -c -o $(BIN)/e2e.test . && HARN_NOMAD=$(NOMAD_BINARY) exec $(BIN)/e2e.test -test.timeout 20m

# Older versions of Nomad that are supported. In short: starts, logs, exec, signals,
# stats, egress, restarts of tasks, plugin and agent.
NOMADS ?= 1.10.5
SHORT_E2E := ^Test(NodeAttributes|ExitCodes|EnvironmentAndDirectories|View|Stop|Restart|Signal|Exec|ScriptCheckAndStats|PluginKilled|AgentRestarted|RestartAroundAgentRestart|LogsByDriver|EgressPublishesAPort)$$
.PHONY: e2e-versions
e2e-versions: build ## Run the most important of these jobs under older versions of Nomad: NOMADS=1.9.7 for one of them
	for v in $(NOMADS); do $(MAKE) nomad NOMAD=$$v && (cd e2e && HARN_NOMAD=$(BIN)/nomad-$$v go test -count=1 -timeout 20m -run '$(SHORT_E2E)' .) || exit 1; done

.PHONY: programs
programs: build nomad ## Run agents, browsers, servers and build tools, write docs/programs.md: PROGRAMS='redis|tmux' for some of them
	programs/fetch.sh
	cd e2e && go test -c -o $(BIN)/programs.test .
	cd e2e && exec ../programs/with.sh $(BIN)/programs.test -test.timeout 60m -test.parallel 2 -test.run '^TestWhatRuns$$/all/^($(or $(PROGRAMS),.*))$$'
	cd e2e && exec ../programs/with.sh $(BIN)/programs.test -test.timeout 10m -test.run '^TestAgentsReachTheirModelByName$$'

# A failing input is written to the package's testdata/fuzz: commit it with the fix. To make
# inputs smaller takes a minute each by default, at whose end go test may fail by itself.
FUZZTIME := 60s
.PHONY: fuzz
fuzz: ## Feed decoders, policies, filters and records with what nobody expects: FUZZTIME=60s each
	@grep -r --include='*_test.go' '^func Fuzz' . | sed -E 's|^(.*)/[^/]*:func (Fuzz[A-Za-z0-9]*).*|\1 \2|' | \
	xargs -P 2 -L 1 sh -c 'echo "$$1 of $$0"; go test $$0 -run "^$$" -fuzz "^$$1\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x -parallel 1'

.PHONY: e2e-vm
e2e-vm: build nomad setup $(BIN)/e2e-device ## Run the same jobs in a VM with kernel 6.12, on unified cgroup v2
	cd e2e && go test -c -o $(BIN)/vm/e2e.test .
	GOCACHE=$(BIN)/vm/gocache CGO_ENABLED=0 go build os # for the test that builds a program
	@# 125: the emulator has crashed, as it does when the kernel changes its own code: no test has failed.
	cd e2e && for try in 1 2; do vm/vm.sh -k 6.12 -m 8192 -t 2700 -- \
	  env HARN_REQUIRE_KERNEL=1 HARN_REQUIRE_ABI=6 $(BIN)/vm/e2e.test -test.timeout 44m; \
	  status=$$?; [ $$status = 125 ] || break; done; exit $$status

.PHONY: e2e-audit
e2e-audit: build nomad setup ## Run the tests of reported denials in VMs, where auditing can be enabled: kernels 7.3, and 6.12, which logs seccomp's alone
	cd e2e && go test -c -o $(BIN)/vm/e2e.test .
	cd e2e && for k in 7.3 6.12; do vm/vm.sh -k $$k -m 6144 -t 600 -- \
	  env HARN_E2E_AUDIT=1 HARN_KERNELTEST_ISOLATED=tests HARN_REQUIRE_KERNEL=1 \
	  $(BIN)/vm/e2e.test -test.timeout 9m -test.run '^TestDenials' || exit 1; done

# The second plugin is the same code with another version.
.PHONY: e2e-cluster
e2e-cluster: build nomad setup ## Run jobs on a cluster of this host and VMs with kernels 5.10, 6.1, 6.12 and 7.3, through an upgrade: KERNELS="6.12 7.3" for some
	mkdir -p $(BIN)/cluster
	sed 's/^const Version = .*/const Version = "999.0.0"/' version/version.go > $(BIN)/cluster/version.go
	echo '{"Replace": {"$(CURDIR)/version/version.go": "$(BIN)/cluster/version.go"}}' > $(BIN)/cluster/overlay.json
	CGO_ENABLED=0 go build -overlay $(BIN)/cluster/overlay.json -trimpath -ldflags "-s -w" -o $(BIN)/cluster/nomad-driver-harn .
	cd e2e && go test -c -o $(BIN)/cluster/e2e.test . && HARN_E2E_CLUSTER=$(BIN)/cluster exec $(BIN)/cluster/e2e.test -test.timeout 60m -test.run '^TestCluster$$' -test.v

.PHONY: kernels
kernels: setup ## Run the tests of the kernel's features in VMs with other kernels: KERNELS="5.10 7.3" for some
	for p in $(KERNEL_PACKAGES); do go test -c -o $(BIN)/vm/$$p.test ./$$p || exit 1; done
	e2e/vm/matrix.sh $(KERNEL_PACKAGES)

.PHONY: kernels-attack
kernels-attack: setup ## Run the attacks in the same VMs, print attack by profile and kernel
	attack/build.sh $(BIN)/attack
	go test -c -o $(BIN)/vm/attack.test ./attack
	LIMIT=$${LIMIT:-3600} e2e/vm/matrix.sh attack; status=$$?; \
	  go run ./attack/report $(BIN)/vm/attack > $(BIN)/attack-matrix.txt || status=1; \
	  tail -n 40 $(BIN)/attack-matrix.txt; echo "the whole table is in $(BIN)/attack-matrix.txt"; exit $$status

# As these VMs' files are not this machine's, more packages than their kernel makes
# a difference to. Cross compiled: nothing of this machine's runs there.
.PHONY: kernels-arm64
kernels-arm64: PACKAGES += /usr/bin/qemu-system-aarch64:qemu-system-arm
kernels-arm64: setup ## Run the packages' tests and the attacks in VMs of the architecture arm64: KERNELS="6.1 7.3"
	for p in $(ARM64_PACKAGES) attack; do CGO_ENABLED=0 GOARCH=arm64 go test -c -o $(BIN)/arm64/vm/$$p.test ./$$p || exit 1; done
	GOARCH=arm64 attack/build.sh $(BIN)/arm64/attack
	ARCH=arm64 LIMIT=$${LIMIT:-3600} e2e/vm/matrix.sh $(ARM64_PACKAGES) attack; status=$$?; \
	  go run ./attack/report $(BIN)/arm64/vm/attack > $(BIN)/arm64/attack-matrix.txt || status=1; \
	  tail -n 40 $(BIN)/arm64/attack-matrix.txt; echo "the whole table is in $(BIN)/arm64/attack-matrix.txt"; exit $$status

.PHONY: attack
attack: ## Run some 400 attacks under every profile, print attack by profile: HARN_ATTACK_RACES=1000 is how often races are tried
	HARN_REQUIRE_KERNEL=1 HARN_ATTACK_OUT=$(BIN) HARN_ATTACK_RACES=$${HARN_ATTACK_RACES:-1000} go test -count=1 -timeout 30m ./attack
	@cat $(BIN)/attack-$$(uname -r).txt

.PHONY: faults
faults: build nomad $(BIN)/e2e-device ## Kill plugin, agent and supervisors at random under 50 tasks (HARN_FAULTS_SEED=N repeats)
	cd e2e && go test -c -o $(BIN)/e2e.test . && HARN_FAULTS=full exec $(BIN)/e2e.test -test.timeout 10m -test.run '^TestFault' -test.v

# The last release, or before there is one, the commit from which on upgrades are promised.
UPGRADE_FROM ?= $(or $(shell git describe --tags --abbrev=0 2> /dev/null),50be739)
.PHONY: upgrade-test
upgrade-test: build nomad ## Start tasks by the plugin of the last release, upgrade it, go back: UPGRADE_FROM=COMMIT for another
	e2e/upgrade.sh $(BIN)/upgrade $(UPGRADE_FROM)
	cd e2e && HARN_UPGRADE_FROM=$(BIN)/upgrade/earlier HARN_UPGRADE_NEXT=$(BIN)/upgrade/next go test -count=1 -timeout 20m -run '^TestUpgrade$$' -v .

.PHONY: lint
lint: $(TOOLS)/golangci-lint $(TOOLS)/gofumpt audit ## Check format, vet and lint; licenses and known vulnerabilities of what is linked
	@test -z "$$($(TOOLS)/gofumpt -l .)" || { echo "not formatted, run make fmt:"; $(TOOLS)/gofumpt -l .; exit 1; }
	$(TOOLS)/golangci-lint run ./...
	for dir in e2e bench; do (cd $$dir && $(TOOLS)/golangci-lint run --config $(CURDIR)/.golangci.yml ./...) || exit 1; done
	@go test ./policy -run Documented > /dev/null || { echo "docs/jobs.md has another table of fields than policy/fields.go: run make generate"; exit 1; }
	@for dir in . e2e e2e/nomad bench; do (cd $$dir && go mod tidy -diff > /dev/null) || { echo "$$dir: run go mod tidy"; exit 1; }; done

.PHONY: fmt
fmt: $(TOOLS)/gofumpt ## Format the code
	$(TOOLS)/gofumpt -w .

.PHONY: generate
generate: ## Write generated files anew: the tables of system calls, the golden plans, the table of fields in docs/jobs.md
	go generate ./...
	go test ./policy -run 'Golden|Documented|HarnPolicies' -update > /dev/null
	go test ./executor ./driver -run RecordsOfAllVersions -update > /dev/null

.PHONY: setup
setup: ## Install what the tests need, by apt (as root, on Debian)
	@missing=; for p in $(PACKAGES); do [ -x $${p%%:*} ] || missing="$$missing $${p##*:}"; done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; \
	  else echo "not installed, so that some tests will be skipped:$$missing"; fi; fi

##@ Release

.PHONY: dist
dist: $(TOOLS)/nfpm ## Build the release of the commit in dist/, for amd64 and arm64, twice, and compare: binaries, deb, rpm, SPDX, SHA256SUMS; QUICK=1 to try
	exec release/dist.sh $(DIST) $(TOOLS)

.PHONY: dist-test
dist-test: PACKAGES := $(DIST_PACKAGES)
dist-test: setup nomad ## Install the deb of dist/ in a Debian of its own, run the hello job there, remove it; look into the rpm
	exec release/install.sh $(DIST) $(BIN)/nomad

.PHONY: audit
audit: ## Check the licenses of what is linked, and look known vulnerabilities up where their database can be reached
	go test -count=1 -run '^TestLicenses$$' .
	release/audit.sh $(TOOLS) $(GOVULNCHECK_VERSION)

##@ Other

.PHONY: clean
clean: ## Remove what was built
	rm -rf $(BIN) $(DIST) executor/image/files/*/program executor/image/files/*/commands

.PHONY: help
help: ## List the commands
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: $(BIN)/e2e-device
$(BIN)/e2e-device:
	cd e2e && CGO_ENABLED=0 go build -o $@ ./deviceplugin
	cd e2e && CGO_ENABLED=0 go build -o $(BIN)/e2e-csi ./csiplugin

$(TOOLS)/golangci-lint: Makefile
	GOBIN=$(TOOLS) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	@touch $@

$(TOOLS)/gofumpt: Makefile
	GOBIN=$(TOOLS) go install mvdan.cc/gofumpt@$(GOFUMPT_VERSION)
	@touch $@

$(TOOLS)/nfpm: Makefile
	GOBIN=$(TOOLS) go install github.com/goreleaser/nfpm/v2/cmd/nfpm@$(NFPM_VERSION)
	@touch $@
