# Everything a developer runs. `make` alone lists it; every target makes first what it needs.

VENV := .venv
BIN := $(VENV)/bin
NPM := .cache/npm
NPM_FILES := tests/npm/package.json tests/npm/package-lock.json tests/npm/.npmrc
PEERS := .cache/peers
PEER_FILES := bench/peers/package.json bench/peers/package-lock.json bench/peers/.npmrc
BENCH = PYTHONPATH=tests:tests/e2e $(BIN)/python

# The first of these that is new enough; or name one: make PYTHON=/usr/local/bin/python3.12 …
RECENT := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	"$$python" -c '$(RECENT)' 2>/dev/null && echo "$$python" && break; done)

# Debian's python may come without ensurepip: then the system's pip fills the virtual environment from outside.
PIP = $$(if [ -x $(BIN)/pip ]; then echo $(BIN)/python -m pip; else echo $(PYTHON) -m pip --python $(BIN)/python; fi)
PIP_INSTALL = $(PIP) install --quiet --disable-pip-version-check

# With their extras: older pips take a requirement with an extra for another one than that without.
COMPILE = $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
	--generate-hashes --no-strip-extras --no-emit-index-url --no-header

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install run test bench bench-quick figures growth instructions soak kill-matrix check format lock \
	screenshots clean npm peers

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: $(VENV)/.run ## make .venv and install the bot into it

run: install ## start the bot with an example service, and push to it once (PORT, FASTDEPLOY_HOME)
	@exec $(BIN)/fastdeploy serve --demo

test: $(VENV)/.dev npm ## install what the tests need, and run them all (ARGS="-k name" for some)
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 $(ARGS)

bench: $(VENV)/.dev npm peers ## measure the bot beside what people would pick instead, and print the table (LINES="1 3" for some; INTO=page.md)
	$(BENCH) -m bench $(LINES) $(if $(INTO),--into $(INTO))

bench-quick: $(VENV)/.dev npm peers ## the same table within three minutes: a look, not a measurement (LINES="1 3" for some)
	$(BENCH) -m bench --quick $(LINES)

figures: $(VENV)/.dev ## measure the bot alone: websockets, 10,000 pushes, GitHub, checkouts, pages (FIGURES="load page" for some)
	@for each in $(or $(FIGURES),sockets load github checkouts longlog page); do \
		echo "bench/figures/$$each.py" && $(BENCH) -m bench.figures.$$each || exit 1; \
	done

growth: $(VENV)/.dev npm ## draw docs/growth.svg: pushes a second as services, connections and stored deployments grow
	$(BENCH) -m bench.growth

soak: $(VENV)/.dev ## deploy once a second for ten minutes, and see that nothing grows (MINUTES=3 for less)
	$(BENCH) -m bench.soak $(if $(MINUTES),--minutes $(MINUTES))

kill-matrix: $(VENV)/.dev ## kill the bot wherever it hurts, 20 times each (KILLS=3; ONLY="output, worker")
	$(BENCH) -m bench.kill_matrix

instructions: $(VENV)/.dev ## count what a push costs in instructions, by callgrind (RENEW=1 keeps the figures that tests hold it against)
	PYTHONPATH=tests:tests/e2e $(BIN)/python tests/e2e/instructions.py $(if $(RENEW),renew)

check: $(VENV)/.dev ## format, lint, types and floors, changing nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.dev ## format the source and mend what the linter can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/.dev ## renew requirements/*.txt: the newest versions that setup.cfg allows
	$(COMPILE) setup.cfg requirements/build.in --output-file requirements/run.txt
	$(COMPILE) --extra dev --extra postgres --constraint requirements/run.txt setup.cfg --output-file requirements/dev.txt

screenshots: $(VENV)/.dev ## draw docs/screenshots: every page in both themes, as a browser shows it
	cd tests/e2e && PYTHONPATH=../..:.. $(abspath $(BIN))/python screenshots.py

clean: ## remove all that make and the tools made; instance/ stays
	rm -rf $(VENV) .cache build dist *.egg-info .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache \
		.import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Each stamp is as new as what it stands for, so that a second call costs nothing.

$(VENV)/.made:
	@if [ -z "$(PYTHON)" ] || ! $(PYTHON) -c '$(RECENT)'; then \
		echo "fastdeploy_bot needs Python 3.11 or newer: install it, or say which: make PYTHON=/path/to/python3" >&2; \
		exit 1; \
	elif $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then \
		$(PYTHON) -m venv $(VENV); \
	elif $(PYTHON) -c 'import pip, venv' 2>/dev/null; then \
		$(PYTHON) -m venv --without-pip $(VENV); \
	else \
		echo "$(PYTHON) has neither ensurepip nor pip: apt install python3-venv" >&2; \
		exit 1; \
	fi
	@touch $@

$(VENV)/.run: $(VENV)/.made requirements/run.txt setup.cfg pyproject.toml
	@echo "installing into $(VENV)"
	@$(PIP_INSTALL) --require-hashes -r requirements/run.txt
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.txt
	@echo "installing what tests and checks need into $(VENV)"
	@$(PIP_INSTALL) --require-hashes -r requirements/dev.txt
	@touch $@

# GitHub's example payloads, its description of its API (of many the one that is read), and an independent signer.
# Without npm, or without a way to its registry, the other tests still run, and those that miss this say so (.ci/run
# turns that into a failure). So do those that miss Chromium or valgrind, which are the host's own.
npm:
	@if ! command -v npm >/dev/null; then \
		echo "npm is absent: the tests that need GitHub's examples will say so"; \
	elif ! $(MAKE) --no-print-directory $(NPM)/.installed; then \
		echo "npm could not install: the tests that need GitHub's examples will say so"; \
	fi

$(NPM)/.installed: $(NPM_FILES)
	@echo "installing test material into $(NPM)"
	@mkdir -p $(NPM)
	@cp $(NPM_FILES) $(NPM)/
	@cd $(NPM) && npm ci --loglevel=error --no-progress --no-fund --no-audit >/dev/null
	@find $(NPM)/node_modules/@octokit/openapi/generated -type f ! -name api.github.com.json -delete
	@touch $@

# What `make bench` measures beside: unpacked and installed here alone, so that the host stays as it is. What cannot be
# fetched is told by the lines that need it; the others are measured.
peers:
	@for each in debian/.unpacked npm/.installed; do \
		$(MAKE) --no-print-directory $(PEERS)/$$each || echo "$(PEERS)/$$each failed: the lines that need it will say so"; \
	done

$(PEERS)/debian/.unpacked:
	@echo "fetching Debian's webhook into $(PEERS)"
	@mkdir -p $(@D)
	@cd $(@D) && apt-get download -qq -o APT::Sandbox::User=root webhook && dpkg -x webhook_*.deb . && rm webhook_*.deb
	@touch $@

$(PEERS)/npm/.installed: $(PEER_FILES)
	@echo "installing probot and octokit into $(PEERS)"
	@mkdir -p $(@D)
	@cp $(PEER_FILES) $(@D)/
	@cd $(@D) && npm ci --loglevel=error --no-progress --no-fund --no-audit >/dev/null
	@touch $@
