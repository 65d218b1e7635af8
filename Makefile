# pgmove's tasks; `make` lists them.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null)
# Of the commit and not of the day: the same commit makes the same binary.
DATE    ?= $(shell git show -s --format=%cI 2>/dev/null)
LDFLAGS  = -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.date=$(DATE)
# The systems that make release builds for.
PLATFORMS ?= linux/amd64 linux/arm64 darwin/arm64
# More arguments for go test: make test TESTFLAGS='-run TestDigest -v'
TESTFLAGS ?=
# The demo's way from source to target; the demo's own default where it is empty.
VIA ?=

.PHONY: help
help: ## list the tasks
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

.PHONY: build
build: ## compile the command into bin/pgmove
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/pgmove ./cmd/pgmove

.PHONY: man
man: ## write the manual page, docs/pgmove.1
	$(GO) run ./cmd/pgmove man > docs/pgmove.1.new && mv docs/pgmove.1.new docs/pgmove.1

.PHONY: release
release: ## build static binaries of all platforms into dist/, with completions, manual page and checksums
	@GO='$(GO)' LDFLAGS='$(LDFLAGS)' VERSION='$(VERSION)' DATE='$(DATE)' deploy/release.sh $(PLATFORMS)

.PHONY: image
image: ## build the container image with docker (or another: DOCKER=podman)
	$(or $(DOCKER),docker) build -t pgmove:$(VERSION) --build-arg VERSION=$(VERSION) --build-arg COMMIT=$(COMMIT) --build-arg DATE=$(DATE) .

# What it reads lies outside of its module, so Go would not see that it changed: no cached results.
.PHONY: test-deploy
test-deploy: ## test the Helm chart, docker-compose.yml, the Dockerfile and the systemd units
	cd deploy/test && $(GO) vet . && $(GO) test -count=1 -timeout 10m $(TESTFLAGS) .

.PHONY: tools
tools: ## install what tests and demo need: PostgreSQL servers and clients, MariaDB, an S3 server
	@internal/testbed/install.sh

.PHONY: test
test: tools ## vet, and run all tests against real servers
	$(GO) vet ./...
	CGO_ENABLED=1 $(GO) test -race -timeout 60m -parallel 4 $(TESTFLAGS) ./...
	$(MAKE) --no-print-directory test-deploy

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
