# `make` lists the targets. Each target first installs its dependencies into .venv.
PYTHON ?= python3
PIP = .venv/bin/pip --disable-pip-version-check --quiet
.DEFAULT_GOAL := help

.PHONY: help run install test soak check bench lock schema screenshot

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/installed ## start the server on http://127.0.0.1:20212
	.venv/bin/netsessions serve

install: .venv/installed ## install the program as .venv/bin/netsessions

test: .venv/installed-dev ## run the tests; fails below 95 % coverage
	PATH="$(CURDIR)/.venv/bin:$$PATH" npm --prefix ui --silent test
	.venv/bin/pytest -n auto --cov

soak: .venv/installed-dev ## run the long tests: a hundred kills, a database locked for a minute, ten minutes of load
	.venv/bin/pytest -m soak

check: .venv/installed-dev ## check formatting, lint, types, import rules and known vulnerabilities
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/python audit.py

bench: .venv/installed-dev ## run the benchmarks, half an hour; QUICK=1 takes minutes
	.venv/bin/python -m benchmarks.run $(if $(QUICK),--quick,--results)

screenshot: .venv/installed-dev ## update the README's screenshot
	.venv/bin/pytest tests/browser/test_accessibility.py -k presence-1440-light
	cp build/screenshots/presence-1440-light.png ui/presence.png

schema: .venv/installed ## write the GraphQL schema to schema/schema.graphql
	.venv/bin/netsessions schema > schema/schema.graphql

lock: .venv/installed-dev ## update the pinned dependencies and their hashes
	.venv/bin/uv pip compile -q --universal --generate-hashes --no-header --python-version 3.11 \
		--extra build pyproject.toml -o requirements.lock
	.venv/bin/uv pip compile -q --universal --generate-hashes --no-header --python-version 3.11 \
		--extra build --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock

.venv/bin/pip:
	@echo "Creating .venv"
	$(PYTHON) -m venv .venv

PAGES := $(shell find ui schema/schema.graphql -name node_modules -prune -o -name dist -prune -o \
	-type f ! -name operations.ts -print)

.venv/installed: requirements.lock pyproject.toml hatch_build.py $(PAGES) | .venv/bin/pip
	@echo "Installing netsessions and its dependencies into .venv"
	$(PIP) install --require-hashes -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

.venv/installed-dev: requirements-dev.lock .venv/installed
	@echo "Installing the development dependencies into .venv"
	$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@
