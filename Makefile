# The commands that contributors and CI run. Each sets up what it needs, and is quick the second time.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.installed
DEMO := calmix-runs/demo

.PHONY: demo test check format bench clean

demo: $(SETUP)  ## five methods, five seeds, on handwritten digits
	$(BIN)/calmix compare digits --out $(DEMO) --resume

test: $(SETUP)  ## the whole test suite
	$(BIN)/python -m pytest -n auto

check: $(SETUP)  ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

bench: $(SETUP)  ## what calmix costs; PEERS=PYTHON measures other libraries too, with an interpreter that has them
	$(BIN)/python -m benchmarks --peers "$(PEERS)"

format: $(SETUP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis calmix-runs

$(SETUP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "calmix needs Python 3.11 or newer; name one with: make PYTHON=python3.11 demo")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,dev]'
	@touch $@
