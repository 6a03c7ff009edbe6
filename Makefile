# One task vocabulary for the laptop, the hook and CI. `make help` lists it.
SHELL := bash
VENV := .venv
PY := $(VENV)/bin/python
UV_VERSION := 0.13.9
BASE_PYTHON := $(shell command -v python3.11 || command -v python3)

export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export DO_NOT_TRACK := true
export BENTOML_DO_NOT_TRACK := True
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export GX_ANALYTICS_ENABLED := false
export DVC_NO_ANALYTICS := 1
# Data files are looked for here first, by hash; anything not found is fetched from its public address.
export SWITCHYARD_DATA_MIRROR ?= $(wildcard ../shared/data)

# Kept compiled, whatever the shell says: the suite starts interpreters by the hundred, and from source alone each
# takes twice as long to import what it needs.
unexport PYTHONDONTWRITEBYTECODE

# One more than there are cores, since a test that boots a server mostly waits.
TEST_WORKERS ?= $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))

.PHONY: help setup check test soak demo up bench lock clean

help: ## what can be done
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: $(VENV)/.ready ## make .venv and install every pinned package

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(BASE_PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
	  || { echo "Python 3.11 is needed; found $$($(BASE_PYTHON) --version)"; exit 1; }
	@test -x $(PY) || $(BASE_PYTHON) -m venv $(VENV)
	@command -v uv >/dev/null || $(PY) -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	uv pip install --quiet --python $(PY) --require-hashes --no-deps -r requirements.lock
	uv pip install --quiet --python $(PY) --no-deps --no-build-isolation -e .
	@touch $@

check: setup ## lint, types, import directions, workflows
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	zizmor --offline --quiet .github/workflows

test: setup ## the whole suite
	$(PY) -m pytest tests -m "not soak" -q -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder

soak: setup ## long tests: 1,000 kills (SOAK_KILLS=60 for less), 10,000 requests, the workflows line by line
	$(PY) -m pytest tests/soak -m soak -q

demo: setup ## the whole story, on real data where it can be had
	switchyard demo $(DEMO_ARGS)

up: setup ## Prefect, MLflow, orchestrator, console and the flows that run by themselves, until Ctrl-C (UP_ARGS=--stand-in: with the demo's cloud)
	switchyard up $(UP_ARGS)

bench: setup ## speed, side by side, as ratios of medians
	$(PY) -m bench

lock: setup ## resolve requirements.lock anew from pyproject.toml
	uv pip compile pyproject.toml --all-extras --override overrides.txt --generate-hashes \
	  --no-emit-index-url --python-version 3.11 --custom-compile-command "make lock" --upgrade -o requirements.lock -q

clean: ## remove everything that these commands made
	rm -rf $(VENV) .switchyard build bench-results .mypy_cache .ruff_cache .pytest_cache
