# The commands that contributors and CI run. Each sets up what it needs, and is quick the second time.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.installed
DEMO := calmix-runs/demo
CASES := 20000
BREAKS := 50

.PHONY: help demo test test-all test-cluster kills fuzz check format bench clean

help:  ## what each command does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-10s %s\n", $$1, $$2 }' Makefile

demo: $(SETUP)  ## six methods, five seeds, on handwritten digits
	$(BIN)/calmix compare digits --out $(DEMO) --resume

test: $(SETUP)  ## the tests that are not marked slow
	$(BIN)/python -m pytest -n auto -m "not slow"

test-all: $(SETUP)  ## all tests
	$(BIN)/python -m pytest -n auto

fuzz: $(SETUP)  ## 20,000 damaged files against the command, in processes of 4 GB; CASES=N tries fewer
	$(BIN)/python -m tests.fuzz --cases $(CASES)

kills: $(SETUP)  ## kills a comparison 200 times, and 50 times inside its runs; takes more than an hour
	$(BIN)/python tests/test_kills.py 200 50

test-cluster: $(SETUP)  ## breaks a Dask cluster 50 times under a comparison; BREAKS=N does so N times
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[cluster]'
	$(BIN)/python tests/test_cluster_kills.py $(BREAKS)

check: $(SETUP)  ## format, lint, types, and types for users
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	PATH="$(CURDIR)/$(BIN):$$PATH" pyright --verifytypes calmix --ignoreexternal  # asks the first python in PATH

bench: $(SETUP)  ## what calmix costs; PEERS=PYTHON measures other libraries too, with an interpreter that has them
	$(BIN)/python -m benchmarks --peers "$(PEERS)"

format: $(SETUP)  ## repairs the format, and what lint can repair
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## removes what these commands have made
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis calmix-runs fuzz.jsonl

$(SETUP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "calmix needs Python 3.11 or newer; name one with: make PYTHON=python3.11 demo")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,dev]'
	@touch $@
