# Every target installs what it needs, on a Debian machine with Go, as root.

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# Tools are run by version through the go command, which caches them.
GOLANGCI    := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0
# The vulnerability database comes by the module proxy, like every other
# dependency. "make lint VULNDB=latest" asks for today's.
VULNDB := v0.0.0-20261105234957-e22db6528018

GOTEST := go run ./hack/gotest
VMRUN  := go run ./internal/lab/vm/cmd/vmrun -install ./cmd/vpnctl
# Packages whose tests all run on Debian's own kernel as well.
ON_KERNEL := ./internal/lab ./internal/rtnl ./internal/wireguard/userspace ./internal/e2e
# Packages with tests for a machine on which systemd is the init, some of which reboot it.
ON_MACHINE := ./internal/wireguard/userspace ./internal/ipsec ./internal/l2tp ./internal/pptp ./internal/guardian ./internal/boot

.DEFAULT_GOAL := help
.PHONY: help build demo setup test test-unit test-e2e mutation bench lint cover fmt clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/vpnctl
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X github.com/vpnctl/vpnctl/internal/cli.Version=$(VERSION)' -o bin/vpnctl ./cmd/vpnctl

demo: ## show two gateways being set up, changed and removed
	@go run ./internal/lab/cmd/demo

setup: ## install the Debian packages that tests need, fetch the machine's kernel
	@go run ./hack/setup

test: test-unit test-e2e ## run all tests

test-unit: setup ## run the tests of all packages, with the race detector
	$(GOTEST) go test -race -p 4 -v $$(go list ./... | grep -v /internal/e2e)

test-e2e: setup ## run the end-to-end tests, here and on Debian's kernel in a virtual machine
	$(GOTEST) -times go test -v -timeout 20m ./internal/e2e
	$(GOTEST) -times $(VMRUN) $(ON_KERNEL) -- -test.v
	$(GOTEST) -times $(VMRUN) ./internal/wireguard ./internal/ipsec ./internal/ppp -- -test.v -test.run Kernel
	$(GOTEST) -times $(VMRUN) -systemd $(ON_MACHINE) -- -test.v -test.run OnMachine

mutation: ## break the undo of each kind of operation in turn, and print which test sees it
	go test -count=1 -v -run Mutations ./internal/cli

bench: setup ## compare the speed with that of wg, ip and wg-quick, in a virtual machine
	$(VMRUN) -timeout 1h -install ./internal/lab/cmd/bench -env PPROF=$$(go tool -n pprof) -- bench

lint: ## run the linters, and look for known vulnerabilities
	go mod tidy -diff
	go run $(GOLANGCI) run
	go run $(STATICCHECK) ./...
	go run ./hack/vulncheck $(GOVULNCHECK) $(VULNDB) ./...

cover: setup ## print which part of each package the unit tests reach
	go test -cover $$(go list ./... | grep -v -e /internal/e2e -e /cmd/)

fmt: ## format the code
	gofmt -w cmd hack internal
	go mod tidy

clean: ## remove what was built
	rm -rf bin
