# Everything here needs Debian with Python 3.11 or later, git and make; the rest is fetched.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

VENV := .venv
BENCH_VENV := .venv-bench
PYTHON ?= $(shell scripts/find_python.sh)
READY := $(VENV)/.installed
BENCH_READY := $(BENCH_VENV)/.installed

PIP_INSTALL := -m pip install --disable-pip-version-check --no-input --quiet --quiet
TESTS_FAST := tests/house tests/unit
TESTS := $(TESTS_FAST) tests/conformance tests/integration tests/cluster tests/faults
# Two processes, file by file (tests/conftest.py); those of the running platform are the last, in one.
IN_TWO := -n 2 --dist loadscope --no-loadscope-reorder

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- what is installed, and only again when its lock or pyproject.toml has changed ---

$(VENV)/bin/python:
	@scripts/install_system_packages.sh venv "$(PYTHON)"
	"$(PYTHON)" -m venv $(VENV)

$(VENV)/.locked: requirements-dev.lock | $(VENV)/bin/python
	@echo "Installing what requirements-dev.lock names: some 250 MB the first time ..."
	$(VENV)/bin/python $(PIP_INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@

$(READY): $(VENV)/.locked pyproject.toml
	$(VENV)/bin/python $(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(BENCH_VENV)/bin/python:
	@scripts/install_system_packages.sh venv "$(PYTHON)"
	"$(PYTHON)" -m venv $(BENCH_VENV)

$(BENCH_VENV)/.locked: requirements-bench.lock | $(BENCH_VENV)/bin/python
	@echo "Installing what requirements-bench.lock names: some 250 MB the first time ..."
	$(BENCH_VENV)/bin/python $(PIP_INSTALL) --require-hashes -r requirements-bench.lock
	@touch $@

$(BENCH_READY): $(BENCH_VENV)/.locked pyproject.toml
	$(BENCH_VENV)/bin/python $(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: install
install: $(READY) ## Make .venv and install the platform with its locked dependencies

.PHONY: mongod-libraries
mongod-libraries:
	@scripts/install_system_packages.sh mongod "$(PYTHON)"

.PHONY: test-packages
test-packages:
	@scripts/install_system_packages.sh tests "$(PYTHON)"

# --- the platform ---

.PHONY: demo
demo: $(READY) mongod-libraries ## Watch some thousand emails go their whole way (KEEP=1 leaves it up)
	@$(VENV)/bin/cdp demo $(if $(filter-out 0,$(KEEP)),--keep)

.PHONY: up
up: $(READY) mongod-libraries ## Start the platform on this machine
	@$(VENV)/bin/cdp up

.PHONY: down
down: $(READY) ## Stop the platform; its data stays
	@$(VENV)/bin/cdp down

# --- tests and checks ---

.PHONY: test
test: lint mongod-libraries test-packages ## Run all checks and all tests
	$(VENV)/bin/pytest $(IN_TWO) $(TESTS)

.PHONY: test-unit
test-unit: $(READY) ## Run the tests that need no other process
	$(VENV)/bin/pytest $(IN_TWO) $(TESTS_FAST)

.PHONY: test-integration
test-integration: $(READY) mongod-libraries test-packages ## Run the tests on a real MongoDB and mailbox
	$(VENV)/bin/pytest $(IN_TWO) tests/conformance tests/integration

.PHONY: test-cluster
test-cluster: $(READY) mongod-libraries ## Run the tests on a real Ray cluster
	$(VENV)/bin/pytest tests/cluster

.PHONY: test-faults
test-faults: $(READY) mongod-libraries ## Run the tests that kill processes; each ends with the books
	$(VENV)/bin/pytest tests/faults

.PHONY: lint
lint: $(READY) ## Check style, types and layers
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

.PHONY: format
format: $(READY) ## Put the code into its format
	$(VENV)/bin/ruff check --fix-only .
	$(VENV)/bin/ruff format .

.PHONY: coverage
coverage: $(READY) mongod-libraries test-packages ## Show which lines and branches the tests without a cluster miss
	$(VENV)/bin/coverage run -m pytest $(TESTS_FAST) tests/conformance tests/integration
	$(VENV)/bin/coverage report

.PHONY: bench
bench: $(BENCH_READY) mongod-libraries ## Measure the platform beside what most would build instead
	@scripts/install_system_packages.sh bench "$(PYTHON)"
	$(BENCH_VENV)/bin/python -m benchmarks

# --- what is generated ---

.PHONY: docs
docs: $(READY) ## Write the generated pages of docs/reference anew
	$(VENV)/bin/python -m docs.generate

.PHONY: lock
lock: $(READY) ## Write the lock files anew from pyproject.toml
	scripts/lock.sh $(VENV)/bin/uv $(VENV)/bin/pip

.PHONY: clean
clean: ## Remove what was installed and cached; the platform's data in .cdp stays
	rm -rf $(VENV) $(BENCH_VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	rm -rf .hypothesis .schemathesis .coverage *.egg-info
	find . -name __pycache__ -type d -not -path './.cdp/*' -prune -exec rm -rf {} +
