# Everything a person or CI does with the project. `make` alone lists it.
# Set PYTHON=/path/to/python3 to choose the Python (3.11 to 3.13), ARGS="..." to hand arguments on.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest

# A Label Studio of one's own needs no second one.
ifeq ($(and $(LABEL_STUDIO_URL)$(SPANLOOP_LABEL_STUDIO_URL),$(LABEL_STUDIO_API_KEY)$(SPANLOOP_LABEL_STUDIO_API_KEY)),)
LABEL_STUDIO := .venv-label-studio/.installed-from
endif

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | \
		while IFS= read -r line; do printf '  make %-18s %s\n' "$${line%%:*}" "$${line##*## }"; done

.PHONY: up
up: install $(LABEL_STUDIO) ## Start the whole system; Ctrl-C stops it
	@exec $(BIN)/spanloop up $(ARGS)

.PHONY: demo
demo: install ## Watch the loop learn from generated texts, against the system that `make up` started
	@exec $(BIN)/spanloop demo $(ARGS)

.PHONY: test
test: lint install-label-studio test-tools ## Everything CI checks: lint, then all tests
	$(PYTEST) -n 2 --dist loadscope --no-loadscope-reorder tests/e2e tests/unit tests/contract tests/integration $(ARGS)

.PHONY: test-unit
test-unit: install ## The pure rules, in seconds
	$(PYTEST) tests/unit $(ARGS)

.PHONY: test-integration
test-integration: install test-tools ## Real databases, a real Redis, real processes, small real models
	$(PYTEST) tests/integration $(ARGS)

.PHONY: test-e2e
test-e2e: install install-label-studio test-tools ## The whole system with a real Label Studio and a real browser
	$(PYTEST) tests/e2e $(ARGS)

.PHONY: test-transformer
test-transformer: install ## The transformer recipe, in an environment of its own (PyTorch: gigabytes); no part of test
	@scripts/test-transformer $(ARGS)

.PHONY: lint
lint: install ## Format, lint, types and floors, as CI checks them
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python scripts/write-map --check

.PHONY: format
format: install ## Format the code and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: lock
lock: ## Write the locks anew (UPGRADE=--upgrade takes newer versions)
	@scripts/lock

.PHONY: install
install: .venv/.installed-from ## Build .venv from requirements.lock

.PHONY: install-label-studio
install-label-studio: .venv-label-studio/.installed-from ## Build .venv-label-studio from label-studio.lock

.PHONY: test-tools
test-tools: ## Install Chromium, Redis and PostgreSQL with apt where that is possible and they are missing
	@scripts/install-test-tools

.PHONY: clean
clean: ## Remove environments and caches; the data folder var/ stays
	rm -rf .venv .venv-label-studio .venv-transformer .tools build dist *.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.installed-from: requirements.lock pyproject.toml scripts/install scripts/uv scripts/python
	@scripts/install project

# After .venv, so that two installs do not fetch uv at the same time.
.venv-label-studio/.installed-from: label-studio.lock scripts/install scripts/uv scripts/python | .venv/.installed-from
	@scripts/install label-studio
