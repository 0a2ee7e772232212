# make demo   three patients from file to report          make test   every check that CI runs
# make serve  the clinical application with them          make docs   the documentation as a site
# make bench  speed of the engine                         make picture  screenshots of the report and of every page
# make lock   new versions into the locks                 make clean  remove what make made
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV ?= .venv
PYTHON ?= $(shell scripts/find-python)
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# Two test workers share two cores: one thread each for BLAS and OpenMP.
JOBS ?= 2
TEST_ENV = OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 AUCTOR_CACHE=$(CURDIR)/.cache/auctor
# Not --quiet: it silences the warnings before --strict can count them.
# The pages of the model library are made while it builds (scripts/library_pages.py): 4 s; PAGES=all compiles the other models too.
PAGES ?= quick
MKDOCS = NO_MKDOCS_2_WARNING=1 AUCTOR_PAGES=$(PAGES) $(TEST_ENV) $(BIN)/mkdocs build --strict
DEMO_OUT ?= demo-output

.PHONY: help demo serve test lint check-tests check-docs browser postgresql bench docs picture lock clean

help:
	@sed -n 's/^# //p' Makefile | head -4

# --- environments: a stamp per lock, so that a changed lock installs again --------------------------------------------

$(VENV)/made.stamp:
	@test -n "$(PYTHON)"
	"$(PYTHON)" -m venv $(VENV)
	@touch $@

$(VENV)/runtime.stamp: requirements.lock pyproject.toml | $(VENV)/made.stamp
	@echo "installing auctor and what it needs into $(VENV) (about half a minute; 0.7 GB)"
	$(PIP) install --require-hashes -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev.stamp: requirements-dev.lock $(VENV)/runtime.stamp
	@echo "installing the tools of the tests and of the documentation into $(VENV)"
	$(PIP) install --require-hashes --no-build-isolation -r requirements-dev.lock
	@touch $@

# --- the two commands of the README -----------------------------------------------------------------------------------

demo: $(VENV)/runtime.stamp
	$(BIN)/auctor demo --out $(DEMO_OUT)

# Opens the application with the patients of the demo; Ctrl-C ends it.
serve: $(VENV)/runtime.stamp
	test -d $(DEMO_OUT)/clinic || $(MAKE) demo
	@echo "sign in as demo; the password is in $(DEMO_OUT)/clinic/demo-password.txt"
	$(BIN)/auctor serve --data $(DEMO_OUT)/clinic

test: lint check-docs browser postgresql check-tests

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# A browser test that hangs would hold CI for ever: a whole run is given an hour.
check-tests: $(VENV)/dev.stamp browser postgresql
	$(TEST_ENV) AUCTOR_CHROMIUM="$$(scripts/browser 2>/dev/null)" timeout 3600 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

check-docs: $(VENV)/dev.stamp
	site=$$(mktemp -d); trap 'rm -rf "$$site"' EXIT; $(MKDOCS) --site-dir "$$site" 2>&1 | sed '/^INFO/d'; echo "docs: built without a warning"

browser:
	@scripts/browser | sed 's/^/browser: /'

postgresql:
	@scripts/postgresql | sed 's/^/postgresql: /'

# --- the rest ---------------------------------------------------------------------------------------------------------

bench: $(VENV)/dev.stamp
	for file in benchmarks/*.py; do $(BIN)/python "$$file"; done

docs: $(VENV)/dev.stamp
	$(MKDOCS) --site-dir site
	@echo "site/index.html"

# The picture in the README, from the report of the demo, and those of docs/application.md.
picture: $(VENV)/dev.stamp browser
	test -d $(DEMO_OUT) || $(MAKE) demo
	AUCTOR_CHROMIUM="$$(scripts/browser)" $(BIN)/python scripts/picture.py $(DEMO_OUT) docs/img/report.png
	AUCTOR_CHROMIUM="$$(scripts/browser)" $(BIN)/python scripts/pages_pictures.py docs/img/app
	AUCTOR_CHROMIUM="$$(scripts/browser)" PYTHONPATH=src:tests $(BIN)/python scripts/record_pictures.py docs/img/app

lock: | $(VENV)/made.stamp
	$(PIP) install uv
	PATH="$(abspath $(BIN)):$$PATH" scripts/lock

clean:
	rm -rf .cache build dist site $(DEMO_OUT) bench-output estimates src/*.egg-info
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
