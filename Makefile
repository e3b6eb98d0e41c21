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
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## the demonstration, a shop on http://127.0.0.1:8080 [STORE=memory:]
	@cd examples && go run ./shop -store '$(STORE)'

.PHONY: replay
replay: ## run a real access log through sessions [WORKERS=4 WRITERS=1 STORE=memory:]
	@cd examples && go run ./replay -workers $(WORKERS) -writers $(WRITERS) -store '$(STORE)'

.PHONY: test
test: ## all tests of every module, with the race detector; installs what they start if it is missing
	@scripts/test-needs
	@scripts/each-module go test -race -shuffle=on ./...

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
bench: ## all benchmarks, with allocations
	@scripts/each-module go test -run '^$$' -bench . -benchmem ./...

.PHONY: fuzz
fuzz: ## every fuzz target for T each [T=60s]
	@scripts/each-module $(CURDIR)/scripts/fuzz $(T)
