# Belfry. `make` alone lists the targets.

GO ?= go
ARGS ?=
FUZZTIME ?= 1m
SOAK ?= 30m

.PHONY: help run build web test lint fuzz bench soak screenshots generate clean
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build ## build what is missing or old, and serve on http://localhost:8080
	bin/belfry serve $(ARGS)

build: bin/packages web/dist/index.html ## bin/belfry, with the site in it
	@echo "== building bin/belfry"
	@$(GO) build -o bin/belfry ./cmd/belfry

bin/packages: tools/packages.sh
	@tools/packages.sh build
	@mkdir -p bin && touch $@

web: web/dist/index.html ## the site alone

web/node_modules: web/package-lock.json
	@echo "== installing the site's packages"
	@cd web && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

web/dist/index.html: web/node_modules $(shell find web/src web/public web/*.html web/*.ts web/*.json -type f 2>/dev/null)
	@echo "== building the site"
	@cd web && npm run --silent build
	@touch $@

test/%/node_modules: test/%/package-lock.json
	@echo "== installing the packages of test/$*"
	@cd test/$* && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

test: build test/browser/node_modules test/clients/node_modules ## everything: lint, unit, fuzz, clients, end to end (with -race)
	@tools/packages.sh test
	@$(GO) run ./tools/verify

lint: web/node_modules ## the checks that run no code
	@$(GO) run ./tools/verify lint

fuzz: ## every fuzz test for FUZZTIME (1m)
	@$(GO) run ./tools/verify -fuzztime $(FUZZTIME) fuzz

bench: build ## speed and memory, next to references; see docs/benchmarks.md
	@tools/packages.sh test
	@$(GO) run ./bench

soak: build ## people come and go for SOAK (30m); memory, goroutines, files, sound; see docs/load.md
	@$(GO) run ./test/soak -for $(SOAK)

screenshots: build test/browser/node_modules ## the README's pictures
	@tools/packages.sh test
	@node test/browser/screenshots.mjs

generate: ## the generated Go code
	@tools/packages.sh test
	@$(GO) generate ./...

clean: ## remove what was built (not the data folder)
	rm -rf bin web/dist/assets web/dist/index.html web/node_modules test/*/node_modules test/artifacts
