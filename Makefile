# Set-up is idempotent and quiet when there is nothing to do: every target installs what it needs.
SHELL := /bin/bash
.DELETE_ON_ERROR:
DOMAINS := protocol gateway server cloud
DISTRIBUTIONS := protocol gateway server cloud tools
BIN := .venv/bin
# Most of what a test does is wait, for a board's heart or a network's silence: twice as many as there are cores.
JOBS ?= $(shell expr 2 \* $$(nproc))
PYTEST = -m pytest --numprocesses $(JOBS) --dist worksteal
UV := $(BIN)/uv --quiet

.PHONY: help dev lint format test test-fast test-alone test-arm32 demo lock clean

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

dev: .venv/.stamp ## make .venv with everything in it
	@:

.venv/.stamp: requirements/dev.txt requirements/bootstrap.txt requirements/pyfhel.txt $(wildcard */pyproject.toml) protocol/generate.py $(wildcard protocol/pericard_protocol/proto/*.proto)
	@echo "setting up .venv"
	@test -x $(BIN)/python || python3 -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@$(UV) pip install --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@PYTHON=$(BIN)/python UV=$(BIN)/uv tools/pyfhel/install
	@$(UV) pip install --python $(BIN)/python --no-deps --no-build-isolation $(DISTRIBUTIONS:%=-e ./%)
	@touch $@

lint: dev ## ruff, mypy --strict, import contracts
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { echo "run: make format"; exit 1; }
	@$(BIN)/mypy $(foreach d,$(DISTRIBUTIONS),$(d)/pericard_$(d)) | tail -40; exit $${PIPESTATUS[0]}
	@$(BIN)/lint-imports --no-logo 2>&1 | tail -20; exit $${PIPESTATUS[0]}

format: dev ## let ruff rewrite the layout
	@$(BIN)/ruff check --quiet --fix . ; $(BIN)/ruff format --quiet .

test: dev test-alone ## every test
	@tools/system-packages
	@$(BIN)/python $(PYTEST)

test-fast: dev ## what takes seconds
	@$(BIN)/python $(PYTEST) -m "not slow"

SOURCES = $(shell find $(DISTRIBUTIONS) -name '*.py' -o -name '*.proto' -o -name pyproject.toml)
.envs/wheels/.stamp: .venv/.stamp $(SOURCES)
	@rm -rf .envs/wheels && mkdir -p .envs/wheels
	@for one in $(DOMAINS); do (cd $$one && ../$(BIN)/hatchling build -t wheel -d ../.envs/wheels >/dev/null 2>&1) || exit 1; done
	@touch $@

# A domain's environment holds that domain and the protocol, nothing else of Pericard's.
.envs/%/.stamp: .envs/wheels/.stamp requirements/test.txt
	@echo "setting up .envs/$*"
	@test -x .envs/$*/bin/python || $(UV) venv --python $(BIN)/python .envs/$*
	@$(UV) pip install --python .envs/$*/bin/python --require-hashes -r requirements/$*.txt -r requirements/test.txt
	@grep -qi '"pyfhel' $*/pyproject.toml && PYTHON=.envs/$*/bin/python UV=$(BIN)/uv tools/pyfhel/install || true
	@$(UV) pip install --python .envs/$*/bin/python --no-deps --reinstall .envs/wheels/pericard_{protocol,$*}-*.whl
	@touch $@

test-alone: $(DOMAINS:%=.envs/%/.stamp) ## each domain's tests where only that domain is installed
	@for domain in $(DOMAINS); do \
	    echo "-- $$domain alone"; \
	    PERICARD_ALONE=$$domain .envs/$$domain/bin/python $(PYTEST) -q -m "not slow" tests/$$domain tests/test_alone.py || exit 1; \
	done

test-arm32: dev ## the firmware's pure parts on a 32-bit ARM MicroPython, set up in the user's cache
	@$(BIN)/pytest -q tests/firmware -k arm32

demo: dev ## the whole pipeline on this machine, about a minute
	@$(BIN)/pericard demo

lock: dev ## pin every third-party version again, with hashes
	@tools/lock

clean: ## remove what set-up made here (the cached Pyfhel wheel stays)
	@rm -rf .venv .envs
