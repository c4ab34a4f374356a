# Set-up is idempotent and quiet when there is nothing to do: every target installs what it needs, and no more.
# What a step prints lies in .setup/*.log; two makes at once wait for each other.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.SECONDEXPANSION:
# A distribution is named after its package (pericard_NAME); the hospital's programs share a folder.
DOMAINS := protocol gateway server kms cloud client
# What several domains' web pages share is a library, not a domain.
DISTRIBUTIONS := $(DOMAINS) web tools
folder = $(or $(folder_$(1)),$(1))
folder_server := server/hospital
folder_kms := server/kms
FOLDERS := $(foreach one,$(DISTRIBUTIONS),$(call folder,$(one)))
# The folder in tests/ of each domain's own tests.
tests = tests/$(or $(tests_$(1)),$(1))
tests_server := hospital
PYTHONS := python3.11 python3.12 python3.13
# `make test PYTHON=python3.12` has environments of its own; without, the machine's python3 is used.
ifeq ($(origin PYTHON),command line)
VENV := .venv-$(notdir $(PYTHON))
ENVS := .envs-$(notdir $(PYTHON))
else
PYTHON := python3
VENV := .venv
ENVS := .envs
endif
BIN := $(VENV)/bin
export INTERPRETER := $(BIN)/python
export UV := $(BIN)/uv
ONCE := tools/setup/once
# Set so, each of the hundreds of processes that tests and demo start would compile Django again.
unexport PYTHONDONTWRITEBYTECODE
# Most of what a test does is wait, for a board's heart or a network's silence: twice as many as there are cores.
JOBS ?= $(shell expr 2 \* $$(nproc))
PYTEST = -m pytest --numprocesses $(JOBS) --dist worksteal

.PHONY: help dev lint format test test-fast test-alone test-arm32 test-pythons client-kit demo portal lock clean

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(VENV)/.python: requirements/bootstrap.txt
	@$(ONCE) $@ $^ -- tools/setup/environment "$(PYTHON)" $(VENV)

$(VENV)/.build: $(VENV)/.python requirements/build.txt
	@$(ONCE) $@ $^ -- tools/setup/step $(VENV)-build 0 "setting up what builds in $(VENV)" \
	    $(UV) pip install --python $(INTERPRETER) --require-hashes -r requirements/build.txt

# One of our distributions, editable, and what it needs.
INSTALLED := $(DISTRIBUTIONS:%=$(VENV)/.%)
$(INSTALLED): $(VENV)/.%: $(VENV)/.build requirements/%.txt $$(call folder,$$*)/pyproject.toml
	@$(ONCE) $@ $^ -- tools/setup/distribution $(VENV) $(call folder,$*) $* -e ./$(call folder,$*)
$(VENV)/.protocol: protocol/generate.py $(wildcard protocol/pericard_protocol/proto/*.proto)
$(VENV)/.server $(VENV)/.cloud: requirements/pyfhel.txt
translations = $(shell find $(1) -name '*.po') web/messages.py
$(VENV)/.web: $(call translations,web)
$(VENV)/.cloud $(VENV)/.portal: $(call translations,cloud)

# The cloud without its blind statistics, whose Pyfhel takes minutes to build.
$(VENV)/.portal: $(VENV)/.build requirements/portal.txt cloud/pyproject.toml
	@$(ONCE) $@ $^ -- tools/setup/distribution $(VENV) cloud portal -e ./cloud

# What checks the product and measures it beside others.
$(VENV)/.dev: $(INSTALLED) requirements/dev.txt
	@$(ONCE) $@ $^ -- tools/setup/step $(VENV)-dev 0 "setting up what checks the product in $(VENV)" \
	    $(UV) pip install --python $(INTERPRETER) --require-hashes -r requirements/dev.txt

dev: $(VENV)/.dev ## make .venv with everything in it
	@:

# A capability is a line here: the distributions that it needs, and nothing else.
setup-pipeline: $(INSTALLED); @: ## .venv with what `make demo` needs
setup-firmware: $(VENV)/.protocol $(VENV)/.tools; @: ## .venv with virtual boards, flashing, provisioning
setup-gateway: $(VENV)/.protocol $(VENV)/.tools $(VENV)/.gateway; @: ## .venv with the ward's gateway
setup-kms: $(VENV)/.protocol $(VENV)/.tools $(VENV)/.kms; @: ## .venv with the key management system
setup-client: $(VENV)/.protocol $(VENV)/.tools $(VENV)/.client; @: ## .venv with a user's kit for encrypted prediction
setup-portal: $(VENV)/.protocol $(VENV)/.tools $(VENV)/.web $(VENV)/.portal browser-client; @: ## .venv with the prediction portal
setup-statistics: $(VENV)/.protocol $(VENV)/.tools $(VENV)/.server $(VENV)/.cloud; @: ## .venv with hospital and cloud

lint: dev ## ruff, mypy --strict over the tests too, import contracts
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { echo "run: make format"; exit 1; }
	@$(BIN)/mypy $(foreach one,$(DISTRIBUTIONS),$(call folder,$(one))/pericard_$(one)) protocol/pericard_edge tests | tail -40; exit $${PIPESTATUS[0]}
	@$(BIN)/lint-imports --no-logo 2>&1 | tail -20; exit $${PIPESTATUS[0]}

format: dev ## let ruff rewrite the layout
	@$(BIN)/ruff check --quiet --fix . ; $(BIN)/ruff format --quiet .

test: dev test-alone ## every test
	@tools/system-packages softhsm2 postgresql chromium
	@$(BIN)/python $(PYTEST)

test-fast: dev ## what takes seconds
	@$(BIN)/python $(PYTEST) -m "not slow"

test-pythons: ## the quick tests on every other Python that is supported and installed
	@tools/setup/pythons $(PYTHONS)

.PHONY: browser-client
test test-fast: browser-client
browser-client: ## the browser's client of the portal, from TypeScript
	@tools/browser-client

.PHONY: node-packages
test test-fast test-alone: node-packages
node-packages: ## what tests need from npm: liboqs in WebAssembly
	@tools/node-packages

# A wheel is built again when one of its own files changes; the generated messages are made by its build.
$(patsubst %,$(ENVS)/wheels/.%,$(DOMAINS) web): $(ENVS)/wheels/.%: $(VENV)/.build \
    $$(shell find $$(call folder,$$*) -type f ! -path '*/__pycache__/*' ! -path 'client/browser/*' ! -name '*_pb2*' ! -name '*.mo')
	@$(ONCE) $@ $^ -- tools/setup/step $(ENVS)-wheel-$* 0 "building the wheel of $*" \
	    tools/setup/own-wheel $(call folder,$*) $(ENVS)/wheels

# A domain's environment holds that domain, the protocol and what it shares pages with, nothing else of Pericard's.
own_cloud := ,web
alone_protocol := ,prediction
ALONE := $(DOMAINS:%=$(ENVS)/%/.stamp)
$(ENVS)/cloud/.stamp: $(ENVS)/wheels/.web
$(ALONE): $(ENVS)/%/.stamp: $(ENVS)/wheels/.protocol $(ENVS)/wheels/.% requirements/%.txt requirements/test.txt requirements/prediction.txt
	@$(ONCE) $@ $^ -- tools/setup/distribution $(ENVS)/$* $(call folder,$*) $*,test$(alone_$*) --reinstall \
	    $(ENVS)/wheels/pericard_{protocol,$*$(own_$*)}-*.whl

test-alone: $(ALONE) ## each domain's tests where only that domain is installed
	@$(foreach one,$(DOMAINS),echo "-- $(one) alone"; \
	    PERICARD_ALONE=$(one) $(ENVS)/$(one)/bin/python $(PYTEST) -q -m "not slow" $(call tests,$(one)) tests/test_alone.py || exit 1;)

test-arm32: dev ## the firmware's pure parts on a 32-bit ARM MicroPython, set up in the user's cache
	@$(BIN)/pytest -q tests/firmware -k arm32

KIT := build/pericard-client-kit.zip
client-kit: $(KIT) ## the zip that a portal's users download: wheels of the kit and what to do with them
	@echo $(KIT)
$(KIT): $(ENVS)/wheels/.protocol $(ENVS)/wheels/.client tools/client-kit client/KIT.md requirements/client.txt
	@$(INTERPRETER) tools/client-kit $(ENVS)/wheels $@

portal: setup-portal ## the prediction portal in a browser, with a demo account: until Ctrl-C
	@tools/portal $(BIN)/pericard

demo: setup-pipeline ## the whole pipeline on this machine, about a minute
	@$(BIN)/pericard demo

lock: dev ## pin every third-party version again, with hashes
	@tools/lock

clean: ## remove what set-up made here (what lies in the user's cache stays)
	@rm -rf .venv* .envs* .setup build
