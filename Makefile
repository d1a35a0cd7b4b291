# Rota's everyday commands. `make` alone lists them.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help bootstrap run test test-unit test-e2e test-faults test-module faults faults-times faults-mutations \
        simulate bench lint format generate clean build release venv

SEEDS := 10000
FIRST := 0
MINUTES := 30
SEED :=
TIMES := 20
SWIFT_SOURCES := Sources Tests Benchmarks Package.swift

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  make test-module MODULE=SchedulerCore    builds and tests that module alone"
	@echo "  make test-e2e ARGS='-k cancel'           passes ARGS on to pytest"
	@echo "  make faults MINUTES=5 SEED=1a2b          the same faults in the same order again"
	@echo "  make simulate FIRST=17 SEEDS=1           tells the story of seed 17 again"
	@echo "  make bench ARGS='--help'                 passes ARGS on to the benchmark"

run: bootstrap ## Build, start everything on this machine, run example jobs, stay until Ctrl-C
	@scripts/build-release rota rota-shim
	@scripts/run-demo

test: bootstrap test-unit test-e2e test-faults ## Build and run all tests: Swift's, the end-to-end ones, a few faults

test-unit: venv build ## Build for debugging and run the Swift tests
	scripts/test-swift

test-e2e: venv release ## Run the end-to-end tests on the release build
	ROTA_BIN="$(CURDIR)/.build/release" scripts/test-e2e $(ARGS)

test-faults: venv release ## Run the tests of the checkers and a short set of faults on the release build
	ROTA_BIN="$(CURDIR)/.build/release" scripts/test-faults

faults: venv release ## Do all faults, then random combinations, to a real cluster: MINUTES=30 SEED=…
	ROTA_BIN="$(CURDIR)/.build/release" .venv-test/bin/python Tests/Faults/run.py --minutes "$(MINUTES)" \
		$(if $(SEED),--seed "$(SEED)") $(ARGS)

faults-times: venv release ## Measure how fast a lost agent and leader are noticed, TIMES=20 times each
	ROTA_BIN="$(CURDIR)/.build/release" .venv-test/bin/python Tests/Faults/run.py --times "$(TIMES)"

faults-mutations: venv release ## Show that the checkers of faults fail where a protection is switched off
	ROTA_BIN="$(CURDIR)/.build/release" .venv-test/bin/pytest Tests/Faults/test_mutations.py $(ARGS)

test-module: ## Build and test one module alone: MODULE=SchedulerCore
	@[[ -n "$(MODULE)" ]] || { echo "say which module: make test-module MODULE=SchedulerCore" >&2; exit 2; }
	ROTA_TARGETS=$(MODULE) swift test --scratch-path .build-$(MODULE) $(ARGS)

simulate: ## Run the seeded simulations of SchedulerCore: SEEDS=10000 of them, from FIRST=0 on
	scripts/simulate "$(SEEDS)" "$(FIRST)"

bench: venv ## Measure throughput and latency on real processes; prints a table, writes JSON
	scripts/bootstrap bench
	scripts/build-release rota rota-shim rota-bench
	.build/release/rota-bench $(ARGS)

lint: ## Check format and the mechanical rules
	swift format lint --strict --parallel --recursive $(SWIFT_SOURCES)
	scripts/check-files

format: ## Format all Swift code
	swift format --in-place --parallel --recursive $(SWIFT_SOURCES)

generate: ## Generate Sources/CProto from proto/, and the Python stubs
	scripts/generate-proto
	scripts/test-venv
	.venv-test/bin/python clients/python/generate

clean: ## Remove everything that was built, and the demo's data
	rm -rf .build .build-* .venv-test .rota clients/python/rota_client/_generated Tests/EndToEnd/.pytest_cache

bootstrap:
	@scripts/bootstrap

build:
	@scripts/build-tests

release:
	@scripts/build-release

venv:
	@scripts/test-venv
