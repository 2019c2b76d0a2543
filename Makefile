# `make help` lists the verbs. Everything is installed into .venv; nothing outside this folder changes.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
# What the full test suite needs beside Python; without them the tests concerned are skipped by name.
CI_PACKAGES := chromium prometheus
# What a cluster made for the tests on Kubernetes needs in addition.
CLUSTER_PACKAGES := runc containernetworking-plugins iptables nftables conntrack iproute2 openssl \
    buildah debootstrap

# Published measurements, which are no part of this project; benchmarks that need them say so without.
HADIS_DATA ?= ../shared/data

.DEFAULT_GOAL := help
.PHONY: help demo install check fix test test-cluster test-cluster-full test-gpu ci-packages \
    cluster-packages train paper docs clean

help: ## list these verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-17s %s\n", $$1, $$2}'

demo: $(VENV)/.installed-local ## serve the scenes cascade on this machine and open its page
	@$(BIN)/hadis up $(ARGS)

install: $(VENV)/.installed-dev ## set up .venv with everything that development needs

check: $(VENV)/.installed-dev ## lint, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(VENV)/.installed-dev ## format and mend what the linter can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: $(VENV)/.installed-dev $(VENV)/openai-2 ## run every test that this machine can run
	$(BIN)/pytest $(ARGS)

test-cluster: $(VENV)/.installed-dev ## run the tests on Kubernetes alone: KUBECONFIG's, or one made for them
	$(BIN)/pytest -m cluster tests/cluster $(ARGS)

test-cluster-full: $(VENV)/.installed-dev ## run them for as long as figures want it, and print the figures
	HADIS_CLUSTER_FULL=1 $(BIN)/pytest -m cluster tests/cluster $(ARGS)

test-gpu: $(VENV)/.installed-dev ## run the tests that need a GPU, on this machine's
	$(BIN)/pytest -m gpu tests/gpu $(ARGS)

ci-packages: ## install the system packages that the full test suite needs (Debian or Ubuntu, as root)
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(CI_PACKAGES)

cluster-packages: ci-packages ## install what the tests on Kubernetes need where KUBECONFIG names no cluster
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(CLUSTER_PACKAGES)

train: $(VENV)/.installed-dev ## train the scenes cascade from scratch (two to three hours on two cores)
	$(BIN)/python -m hadis_scenes.training $(ARGS)

paper: $(VENV)/.installed-dev ## make the paper's figures and docs/paper-results.md again (minutes)
	HADIS_DATA=$(HADIS_DATA) $(BIN)/python -m benchmarks.paper $(ARGS)

docs: $(VENV)/.installed-dev ## write the pages that are generated from the sources
	$(BIN)/python scripts/api_reference.py

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# The official client's older line, beside the newest one that the dev extra installs.
$(VENV)/openai-2: $(VENV)/.installed-dev
	@$(BIN)/python -m pip install -q --disable-pip-version-check --target $@ --upgrade openai==2.54.0
	@touch $@

$(VENV)/.installed-%: pyproject.toml constraints.txt scripts/setup
	@scripts/setup $(VENV) $*
	@touch $@
