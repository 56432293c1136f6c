# Everything runs in .venv, which is made on first use from requirements.lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9

.DEFAULT_GOAL := help
.PHONY: help setup demo up test lint fuzz bench lock

help: ## List the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

setup: $(VENV)/.ready ## Make the environment (other targets do it when needed)

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 setup")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@# Compiled once: else each of the many processes compiles TensorFlow and the like anew where Python may not write.
	$(BIN)/uv pip install --python $(BIN)/python --no-deps --require-hashes --compile-bytecode -r requirements.lock
	$(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: $(VENV)/.ready ## Materialize every asset, on sample data when raw/ is empty
	$(BIN)/analytics demo

up: $(VENV)/.ready ## Serve the Dagster UI and both dashboards on 127.0.0.1
	@exec $(BIN)/analytics up

# One process more than cores of a small machine: tests wait for servers, browsers and starts of Java.
test: $(VENV)/.ready lint ## Run lint and all tests
	$(BIN)/python -m pytest analytics_assets_tests --numprocesses 3 --dist loadscope --no-loadscope-reorder

lint: $(VENV)/.ready ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fuzz: $(VENV)/.ready ## Feed ingestion with arbitrary bytes for about half an hour
	ANALYTICS_FUZZ_EXAMPLES=20000 $(BIN)/python -m pytest analytics_assets_tests/core/ingest/test_fuzz.py --timeout 0

bench: $(VENV)/.ready ## Measure speed and memory
	$(BIN)/python -m analytics_assets_tests.bench

lock: $(VENV)/.ready ## Resolve the dependencies anew
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --generate-hashes --python-version 3.11 \
		--no-annotate --no-header --upgrade -o requirements.lock
	$(BIN)/uv pip compile analytics_assets/deploy/containers/requirements.in --constraint requirements.lock --universal \
		--generate-hashes --python-version 3.11 --no-annotate --no-header \
		-o analytics_assets/deploy/containers/requirements.lock
