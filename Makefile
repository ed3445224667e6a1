# One door for developers; CI calls the same targets. `make` lists them.

PYTHON ?= python3
WORKERS ?= 2
PHOTOS ?= digits
UPGRADE ?=

VENV = .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed
PYTEST = $(BIN)/python -m pytest -n $(WORKERS)
DEMO = demo/bundle
# Errors only: pip warns of every index in a machine's configuration that lacks a package.
QUIET = --quiet --quiet --no-input --disable-pip-version-check

# torch and torchvision are built for each other; any other pair fails at import.
PINS = torch==2.15.0 torchvision==0.29.2
SUITABLE = import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))

.PHONY: help setup demo test test-all check format bench bench-peers lessons lessons-full docs lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP) ## make .venv with the locked packages (PYTHON=python3.12 chooses which Python)

# The stamp is written last, so an interrupted install is taken up again.
$(STAMP): requirements.lock pyproject.toml
	@rm -f $(STAMP)
	@if $(BIN)/python -m pip --version >/dev/null 2>&1 && $(BIN)/python -c '$(SUITABLE)'; then :; \
	elif $(PYTHON) -c '$(SUITABLE)' >/dev/null 2>&1; then \
		echo "Making $(VENV) with `$(PYTHON) --version 2>&1`"; \
		$(PYTHON) -m venv --clear $(VENV); \
	else \
		version=`$(PYTHON) --version 2>/dev/null` || version="not installed"; \
		echo "Silverprint needs Python 3.11 or 3.12; $(PYTHON) is $$version." \
			"Name another: make setup PYTHON=python3.12" >&2; \
		exit 1; \
	fi
	@echo "Installing the locked packages into $(VENV) (7.5 GB and some minutes the first time)"
	@$(BIN)/python -m pip install $(QUIET) --no-deps -r requirements.lock
	@$(BIN)/python -m pip install $(QUIET) --no-deps --no-build-isolation -e .
	@trouble=`$(BIN)/python -c 'import torch, torchvision' 2>&1` || { \
		echo "torch and torchvision do not work together:" \
			"`printf '%s\n' "$$trouble" | tail -n 1`" \
			"Remove $(VENV), then make setup again." >&2; \
		exit 1; \
	}
	@touch $(STAMP)

demo: $(STAMP) ## train on PHOTOS=folder (else 8x8 digits), then predict one picture of it
	@rm -rf $(DEMO)
	@mkdir -p demo
	$(BIN)/silverprint train "$(PHOTOS)" --out $(DEMO)
	@if [ -d "$(PHOTOS)" ]; then \
		picture=`find "$(PHOTOS)" -type f ! -name '.*' \( -name '*.jpg' -o -name '*.jpeg' -o -name '*.png' \
			-o -name '*.JPG' \) | sort | head -n 1`; \
	elif [ "$(PHOTOS)" = digits ]; then \
		picture=demo/digit.png; \
		$(BIN)/python -c 'from PIL import Image; from sklearn.datasets import load_digits; \
			Image.fromarray((load_digits().images[0] * 15.9375).astype("uint8")).save("demo/digit.png")'; \
	fi; \
	if [ -n "$$picture" ]; then \
		echo "$(BIN)/silverprint predict $(DEMO) $$picture"; \
		$(BIN)/silverprint predict $(DEMO) "$$picture"; \
	fi
	@echo "The report is $(DEMO)/report.html"

test: $(STAMP) ## run the tests that need neither minutes nor data (WORKERS=2)
	$(PYTEST) -m "not slow and not shared"

test-all: $(STAMP) ## run every test; SILVERPRINT_DATA names the shared data, if there is any
	$(PYTEST)

check: $(STAMP) ## lint, formatting, types, which room imports which, and spelling
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/codespell

format: $(STAMP) ## mend what can be mended, and format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(STAMP) ## measure against peers
	$(BIN)/python benchmarks/run.py

bench-peers: $(STAMP) ## the same job in fastai, Keras, Ultralytics, timm and AutoGluon (13 GB of venvs)
	$(BIN)/python benchmarks/peers/run.py

lessons: $(STAMP) ## run every lesson, small and quick
	$(BIN)/python lessons/run.py

lessons-full: $(STAMP) ## run every lesson at full size and keep what it shows
	$(BIN)/python lessons/run.py --full

# The theme otherwise prints a page about its makers' plans.
docs: export NO_MKDOCS_2_WARNING = 1
docs: $(STAMP) ## build the documentation's site into site/; every link is followed
	$(BIN)/mkdocs build --strict

lock: ## write requirements.lock again, keeping versions that still fit (UPGRADE=--upgrade: the newest)
	@tools=`mktemp -d` && trap 'rm -rf "$$tools"' EXIT && trap 'exit 1' INT TERM && \
	$(PYTHON) -m venv "$$tools" && \
	"$$tools/bin/python" -m pip install $(QUIET) uv && \
	printf '%s\n' $(PINS) > "$$tools/pins.txt" && \
	"$$tools/bin/uv" pip compile pyproject.toml --quiet --extra train --extra tune --extra lite --extra cluster --extra lessons --group dev \
		--universal --python-version 3.11 -c "$$tools/pins.txt" --no-annotate --no-header \
		$(UPGRADE) -o requirements.lock
	@echo "requirements.lock is written; look at what changed, then make setup test-all"

clean: ## remove caches, builds and the demo; .venv stays
	rm -rf build dist site src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	rm -rf $(DEMO) demo/digit.png
	find src tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
