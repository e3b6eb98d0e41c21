# make help lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

WORKERS ?= 4
WRITERS ?= 1
STORE   ?= memory:
T       ?= 60s

TOOL := go tool -modfile=$(CURDIR)/tools.mod

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## the demonstration, a shop on http://127.0.0.1:8080 [STORE=memory:]
	@cd examples && go run ./shop -store '$(STORE)'

.PHONY: replay
replay: ## run a real access log through sessions [WORKERS=4 WRITERS=1 STORE=memory:|memcache://host:port]
	@cd examples && go run ./replay -workers $(WORKERS) -writers $(WRITERS) -store '$(STORE)'

.PHONY: test
test: ## all tests of every module, with the race detector; installs what they start if it is missing
	@scripts/test-needs
	@scripts/each-module go test -race -shuffle=on ./...

.PHONY: soak
soak: ## sessions over three memcached servers that are killed, stopped and cut off, for T [T=60s]
	@scripts/test-needs
	@go test -race -count=1 -v -timeout 0 -run '^TestSoakOfSessions$$' ./memcachestore -soak $(T)

.PHONY: mutate
mutate: ## break the source in many small ways; a named test must find each
	@scripts/test-needs
	@cd proof && go run ./mutate

.PHONY: mutate-table
mutate-table: ## write the list of those breakages into docs/guarantees.md
	@cd proof && go run ./mutate -write

.PHONY: rotate
rotate: ## one visitor at 16 requests at a time, with a new session id every 100 ms, over memcached, for T [T=60s]
	@scripts/test-needs
	@go test -count=1 -v -timeout 0 -run '^TestRotationUnderParallelRequestsOverMemcached$$' ./sessionhttp -rotation $(T)

.PHONY: lint
lint: ## gofumpt, go vet, staticcheck, and the rules of who imports whom
	@unformatted=$$($(TOOL) gofumpt -l .); \
	if [ -n "$$unformatted" ]; then echo "not formatted (make fmt):"; echo "$$unformatted"; exit 1; fi
	@scripts/each-module go vet ./...
	@scripts/each-module $(TOOL) staticcheck ./...
	@go test -count=1 -run '^TestImports' .

.PHONY: fmt
fmt: ## format every file
	@$(TOOL) gofumpt -l -w .

.PHONY: cover
cover: ## statement coverage of the root package, memstore, memcachestore, sessionhttp and sqltx, at least 90 %
	@scripts/cover 90 . ./memstore ./memcachestore ./sessionhttp ./sqltx

.PHONY: bench
bench: ## measure beside the bare client, scs and gorilla/sessions; writes docs/benchmarks.md
	@scripts/test-needs
	@mkdir -p bench/results
	@cd bench && go run . -docs ../docs -results results

.PHONY: bench-check
bench-check: ## fail where a bar of docs/benchmarks.md is missed by more than 15 %
	@scripts/test-needs
	@cd bench && go run . -check

.PHONY: fuzz
fuzz: ## every fuzz target of every module for T each; how often each was executed [T=60s]
	@scripts/fuzz $(T)

.PHONY: model
model: ## the model of the commit protocol, proof/commit.pml, checked by spin: configurations, windows, mutants
	@scripts/test-needs
	@cd proof && go run ./model/check

.PHONY: proof
proof: ## every part of the proof, one line of figures each, in at most 15 minutes; proof/README.md says what they are
	@scripts/test-needs
	@cd proof && go run .
