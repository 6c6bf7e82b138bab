# Each target first installs requirements.lock into .venv, if .venv is absent or older than the lock.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || echo python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Nothing leaves the machine: no analytics, and no look-ups at the Hugging Face hub. One thread for
# each process: the work is parallel over processes, and more threads would compete for the cores.
export DVC_NO_ANALYTICS := 1
export HF_HUB_OFFLINE := 1
export OMP_NUM_THREADS ?= 1
export PATH := $(CURDIR)/$(BIN):$(PATH)

STUDIES ?= 600
SEED ?= 0
WORKERS ?= 2
export CXR_WORKERS := $(WORKERS)

.PHONY: help setup demo test test-all lint bench figures docs wheel clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 13) else \
	  f"cxr-vlp needs Python 3.11 or 3.12, and this is {v[0]}.{v[1]}: make PYTHON=python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked packages into $(VENV) (about 5 minutes, 8 GB, most of it torch)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

setup: $(READY)  ## install everything into .venv

demo: $(READY)  ## run the whole pipeline on synthetic data, from raw trees to the report and the cards (about 10 minutes)
	@cxr-vlp synthetic --out data/synthetic --studies $(STUDIES) --seed $(SEED) \
	  --workers $(WORKERS)
	@python -m cxr_vlp.pipelines.synthetic.demo check
	@dvc repro report card joined
	@python -m cxr_vlp.pipelines.synthetic.demo record
	@echo; echo "Look at $(CURDIR)/reports/site/index.html"

test: $(READY)  ## run the tests (about 10 minutes)
	@python -m pytest -m "not slow" -n 2 --dist worksteal

test-all: $(READY)  ## run all tests, also the slow ones
	@python -m pytest -n 2 --dist worksteal

lint: $(READY)  ## check style and types
	@ruff check . && ruff format --check . && mypy

bench: $(READY)  ## measure the speed, and compare it with the usual way
	@for script in benchmarks/*_speed.py; do python $$script; done

figures: $(READY)  ## draw the figures of the documents
	@python docs/figures.py

docs: $(READY)  ## build the documents as a site, into site/
	@mkdocs build --strict

wheel: $(READY)  ## build what the workers of other machines install, into dist/
	@python -m pip wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir dist .
	@cp requirements-worker.txt dist/ && ls dist

clean:  ## remove what the demo made and nobody changed; your own trees, sets and models stay
	@if [ -x $(BIN)/python ]; then python -m cxr_vlp.pipelines.synthetic.demo clean; \
	  else echo "nothing to remove: the demo was never run here"; fi
