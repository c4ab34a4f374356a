# Set-up is idempotent and quiet when there is nothing to do: every target installs what it needs.
SHELL := /bin/bash
.DELETE_ON_ERROR:
# A distribution is named after its package (pericard_NAME); the hospital's programs share a folder.
DOMAINS := protocol gateway server kms cloud
DISTRIBUTIONS := $(DOMAINS) tools
folder = $(or $(folder_$(1)),$(1))
folder_server := server/hospital
folder_kms := server/kms
FOLDERS := $(foreach one,$(DISTRIBUTIONS),$(call folder,$(one)))
# The folder in tests/ of each domain's own tests.
tests = tests/$(or $(tests_$(1)),$(1))
tests_server := hospital
BIN := .venv/bin
UV := $(BIN)/uv --quiet

.PHONY: help dev lint format test test-fast test-alone test-arm32 demo lock clean

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

dev: .venv/.stamp ## make .venv with everything in it
	@:

.venv/.stamp: requirements/dev.txt requirements/bootstrap.txt requirements/pyfhel.txt $(FOLDERS:%=%/pyproject.toml) protocol/generate.py $(wildcard protocol/pericard_protocol/proto/*.proto)
	@echo "setting up .venv"
	@test -x $(BIN)/python || python3 -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@$(UV) pip install --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@PYTHON=$(BIN)/python UV=$(BIN)/uv tools/pyfhel/install
	@$(UV) pip install --python $(BIN)/python --no-deps --no-build-isolation $(FOLDERS:%=-e ./%)
	@touch $@

lint: dev ## ruff, mypy --strict, import contracts
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { echo "run: make format"; exit 1; }
	@$(BIN)/mypy $(foreach one,$(DISTRIBUTIONS),$(call folder,$(one))/pericard_$(one)) protocol/pericard_edge | tail -40; exit $${PIPESTATUS[0]}
	@$(BIN)/lint-imports --no-logo 2>&1 | tail -20; exit $${PIPESTATUS[0]}

format: dev ## let ruff rewrite the layout
	@$(BIN)/ruff check --quiet --fix . ; $(BIN)/ruff format --quiet .

test: dev test-alone ## every test
	@tools/system-packages
	@$(BIN)/pytest

test-fast: dev ## what takes seconds
	@$(BIN)/pytest -m "not slow"

.PHONY: node-packages
test test-fast test-alone: node-packages
node-packages: ## what tests need from npm: liboqs in WebAssembly
	@tools/node-packages

SOURCES = $(shell find $(FOLDERS) -name '*.py' -o -name '*.proto' -o -name pyproject.toml)
.envs/wheels/.stamp: .venv/.stamp $(SOURCES)
	@rm -rf .envs/wheels && mkdir -p .envs/wheels
	@for one in $(foreach one,$(DOMAINS),$(call folder,$(one))); do (cd $$one && $(CURDIR)/$(BIN)/hatchling build -t wheel -d $(CURDIR)/.envs/wheels >/dev/null 2>&1) || exit 1; done
	@touch $@

# A domain's environment holds that domain and the protocol, nothing else of Pericard's.
.envs/%/.stamp: .envs/wheels/.stamp requirements/test.txt
	@echo "setting up .envs/$*"
	@test -x .envs/$*/bin/python || $(UV) venv --python $(BIN)/python .envs/$*
	@$(UV) pip install --python .envs/$*/bin/python --require-hashes -r requirements/$*.txt -r requirements/test.txt
	@grep -qi '"pyfhel' $(call folder,$*)/pyproject.toml && PYTHON=.envs/$*/bin/python UV=$(BIN)/uv tools/pyfhel/install || true
	@$(UV) pip install --python .envs/$*/bin/python --no-deps --reinstall .envs/wheels/pericard_{protocol,$*}-*.whl
	@touch $@

test-alone: $(DOMAINS:%=.envs/%/.stamp) ## each domain's tests where only that domain is installed
	@$(foreach one,$(DOMAINS),echo "-- $(one) alone"; \
	    PERICARD_ALONE=$(one) .envs/$(one)/bin/python -m pytest -q -m "not slow" $(call tests,$(one)) tests/test_alone.py || exit 1;)

test-arm32: dev ## the firmware's pure parts on a 32-bit ARM MicroPython, set up in the user's cache
	@$(BIN)/pytest -q tests/firmware -k arm32

demo: dev ## the whole pipeline on this machine, about a minute
	@$(BIN)/pericard demo

lock: dev ## pin every third-party version again, with hashes
	@tools/lock

clean: ## remove what set-up made here (the cached Pyfhel wheel stays)
	@rm -rf .venv .envs
