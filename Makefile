# What people and CI run. `make help` lists it. Each target does the set-up that it needs; nothing here needs an answer
# from a keyboard.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The version comes from the tag, so a tree that git will not look at (another owner, no history) still builds.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
export GOFLAGS := -buildvcs=false $(filter-out -buildvcs=%,$(GOFLAGS))

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
CONFIG ?=
FUZZTIME ?= 20s
KILLS ?= 1000
COVERAGE_MIN ?= 90
DATA ?= .cache/quality

# Programs and libraries; test/ holds what needs the whole binary or peers.
PRODUCT = $(shell go list ./... 2>/dev/null | grep -v '/test\(/\|$$\)')

INTEGRATION = $(shell go list ./test/... 2>/dev/null)
# Tests with hundreds of peers at once, and others that want the machine for themselves: one after the other.
CROWDED = ./test/matrix ./test/tasks ./test/faults

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' Makefile

.PHONY: build
build: ## build bin/dragoman
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/dragoman ./cmd/dragoman

.PHONY: run
run: build ## build, and start without any configuration
	exec bin/dragoman serve

.PHONY: start-gateway
start-gateway: build ## start with CONFIG=file, or without one
	exec bin/dragoman serve $(if $(CONFIG),-c $(CONFIG))

.PHONY: start-servers
start-servers: peers ## start two servers to try the gateway with, on ports 3001 and 3002, until Ctrl-C
	@PORT=3001 .cache/peers/bin/server-everything streamableHttp & first=$$!; \
	.cache/peers/bin/everything-server -http=127.0.0.1:3002 & second=$$!; \
	trap 'kill $$first $$second' EXIT; \
	printf '%s\n' 'Put this into a file, and start with: make start-gateway CONFIG=file' '' 'servers:' \
	  '  everything: {url: "http://127.0.0.1:3001/mcp"}' '  modern: {url: "http://127.0.0.1:3002/"}' ''; \
	wait

.PHONY: start-monitoring
start-monitoring: ## start Prometheus and Grafana in front of /metrics, until Ctrl-C; Prometheus alone where there is no Docker
	@if docker compose version >/dev/null 2>&1; then \
	  echo 'Grafana: http://127.0.0.1:3000   Prometheus: http://127.0.0.1:9090'; \
	  exec docker compose -f deploy/monitoring/compose.yaml up; \
	elif command -v prometheus >/dev/null; then \
	  echo 'No Docker here, so Prometheus alone: http://127.0.0.1:9090/alerts'; data=$$(mktemp -d); trap 'rm -rf "$$data"' EXIT; \
	  prometheus --config.file=deploy/monitoring/prometheus.yml --storage.tsdb.path="$$data" --web.listen-address=127.0.0.1:9090 --log.level=warn; \
	else echo 'Neither docker compose nor prometheus is installed: install one (Debian: apt-get install prometheus).' >&2; exit 1; fi

.PHONY: peers
peers: ## install the MCP clients, servers and suites, the database servers and the object stores, that the tests speak with
	@# The stores are built while npm waits for the network.
	test/objects/setup & objects=$$!; test/peers/setup; test/servers/setup; wait $$objects

.PHONY: check
check: house ## formatting, vet, the laws of the house, staticcheck, known vulnerabilities
	for script in .ci/run .ci/twice .ci/fuzz .ci/vulncheck test/peers/setup test/servers/setup test/objects/setup; do bash -n $$script; done
	go vet ./...
	go run $(STATICCHECK) -tests=false ./...
	@# Tests play peers that use what 2026-07-28 deprecates; the gateway has to carry it for as long as it works.
	go run $(STATICCHECK) -checks inherit,-SA1019 ./...
	.ci/vulncheck

.PHONY: house
house: ## formatting and the laws of the house; takes seconds
	@unformatted=$$(gofmt -l $$(find . -name '*.go' -not -path './.*/*' -not -path '*/node_modules/*')); \
	if [[ -n $$unformatted ]]; then echo "not formatted, run gofmt -w on:" $$unformatted >&2; exit 1; fi
	go test .

.PHONY: test
test: peers ## every test, with its set-up
	DRAGOMAN_NEED_PEERS=1 .ci/twice -timeout 20m -- $(PRODUCT) $(filter-out %/test/matrix %/test/tasks %/test/faults,$(INTEGRATION))
	DRAGOMAN_NEED_PEERS=1 .ci/twice -timeout 20m -p 1 -- $(CROWDED)

.PHONY: test-unit
test-unit: ## the tests of packages, which need nothing but Go
	go test -timeout 10m $(PRODUCT)

.PHONY: test-integration
test-integration: peers ## the whole binary, with peers
	DRAGOMAN_NEED_PEERS=1 go test -timeout 20m ./test/...

.PHONY: test-race
test-race: ## the tests of packages under the race detector
	.ci/twice -race -timeout 20m -- $(PRODUCT)

.PHONY: test-leak
test-leak: ## 20,000 calls with a secret each, under the race detector: is any answer lost, doubled or given to another caller?
	go run ./test/bench -race -scenarios leak -calls 20000 -limit 10m

.PHONY: test-faults
test-faults: ## the whole binary while everything around it breaks, at length
	DRAGOMAN_FAULTS=long go test -count 1 -timeout 40m -v ./test/faults

.PHONY: test-kill
test-kill: ## kill the gateway, the audit log and the store KILLS times each while they write: is anything lost that was acknowledged?
	DRAGOMAN_TEST_KILLS=$(KILLS) go test -count 1 -timeout 60m -v -run 'NothingAcknowledged|FullDisk' ./test/safety
	DRAGOMAN_TEST_AUDIT_KILLS=$(KILLS) go test -count 1 -timeout 60m -v -run 'NothingAcknowledged|DiskThatFails' ./internal/audit
	DRAGOMAN_KILLS=$(KILLS) go test -count 1 -timeout 60m -v -run 'SurvivesKill|FullDisk' ./internal/store/sqlite

.PHONY: test-canaries
test-canaries: ## give the gateway 1,000 secrets, in every place that takes some: is any in what it writes?
	DRAGOMAN_CANARIES=1000 go test -count 1 -timeout 20m -v -run Secret ./test/safety

.PHONY: bench
bench: ## cost of a call as a ratio to a bare reverse proxy
	go run ./test/bench

.PHONY: test-performance
test-performance: bench ## the same as bench

.PHONY: test-coverage
test-coverage: peers ## coverage of all packages by all tests, at least COVERAGE_MIN percent
	DRAGOMAN_NEED_PEERS=1 go test -timeout 20m -coverprofile coverage.out -coverpkg=$$(echo $(PRODUCT) | tr ' ' ,) ./...
	go tool cover -func coverage.out | tail -n 1
	@go tool cover -func coverage.out | awk -v min=$(COVERAGE_MIN) \
	  'END {sub("%", "", $$3); if ($$3 + 0 < min) {print "coverage " $$3 " % is below " min " %"; exit 1}}'

.PHONY: security
security: ## attacks and suites that others have published, in one table; DATA=DIR has checkouts of larger lists
	test/security/setup
	go run ./test/security -h2spec "$$(pwd)/.cache/security/bin/h2spec" -wstest "$$(ls "$$(pwd)/.cache/security/bin/wstest" 2>/dev/null || true)" -data '$(if $(filter-out .cache/quality,$(DATA)),$(abspath $(DATA)))'

.PHONY: quality
quality: ## F1 of the content that the server web finds; DATA=DIR has the repositories wcxb and scrapinghub
	go run ./test/quality -data '$(DATA)'

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME
	.ci/fuzz $(FUZZTIME)

.PHONY: conformance
conformance: peers build ## the official suite against the gateway; writes docs/conformance.md
	go run ./test/conformance

.PHONY: deps
deps: ## write deps.txt, the modules that the binary links
	go test -run TestLinkedModulesAreListed -args -deps

.PHONY: generate
generate: ## write every generated file anew
	go generate ./...

.PHONY: clean
clean: ## remove what was built and installed here
	rm -rf bin .cache coverage.*
