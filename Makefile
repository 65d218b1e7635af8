# pgmove's tasks; `make` lists them.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# More arguments for go test: make test TESTFLAGS='-run TestDigest -v'
TESTFLAGS ?=
# The demo's way from source to target; the demo's own default where it is empty.
VIA ?=

.PHONY: help
help: ## list the tasks
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

.PHONY: build
build: ## compile the command into bin/pgmove
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/pgmove ./cmd/pgmove

.PHONY: tools
tools: ## install what tests and demo need: PostgreSQL servers and clients, MariaDB, an S3 server
	@internal/testbed/install.sh

.PHONY: test
test: tools ## vet, and run all tests against real servers
	$(GO) vet ./...
	CGO_ENABLED=1 $(GO) test -race -timeout 25m $(TESTFLAGS) ./...

.PHONY: test-short
test-short: ## run the tests with -short and without the race detector, on what is installed
	$(GO) test -short $(TESTFLAGS) ./...

# How many random moves `make soak` makes; PGMOVE_SEED repeats a series.
SOAK ?= 100

.PHONY: soak
soak: tools ## kill, cut and restart at random, and resume (SOAK= moves); writes the figures of docs/reliability.md
	PGMOVE_SOAK=$(SOAK) PGMOVE_SOAK_FIGURES=$(CURDIR)/docs/reliability.md $(GO) test -count 1 -timeout 12h -run '^TestRandomKills$$' -v ./cmd/pgmove

.PHONY: demo
demo: tools build ## move a database between two private servers (VIA= chooses the way)
	$(GO) run ./internal/testbed/demo $(if $(VIA),-via=$(VIA))

.PHONY: bench
bench: tools ## measure pgmove against other tools (BENCHFLAGS='-scale 0.1 -rounds 1' for a quick look)
	$(GO) run ./bench $(BENCHFLAGS)

.PHONY: lint-tools
lint-tools: ## install the linter
	@internal/testbed/install.sh lint

.PHONY: lint
lint: lint-tools ## run the linter, which also enforces who may import whom
	"$$(internal/testbed/install.sh where)/bin/golangci-lint" run ./...

.PHONY: clean
clean: ## remove what was built here (the tools stay where they are)
	rm -rf bin dist coverage.out
