PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
DEMO   := build/demo

.PHONY: demo test unit check bench clean

demo: $(READY)  ## set up, then steer the model in the box and let it remember: everything, without a network
	mkdir -p $(DEMO)
	$(BIN)/pasctl demo --store $(DEMO)/artifacts --output $(DEMO)/demo.html
	$(BIN)/pasctl store ls --store $(DEMO)/artifacts

test: $(READY)  ## set up, then run all tests that can run here
	$(BIN)/pytest -n 2 -m "not realmodel"
	$(BIN)/pytest -n 2 -m realmodel || [ $$? -eq 5 ]

unit: $(READY)  ## the fast tests alone
	$(BIN)/pytest -n 2 -m "not realmodel and not integration and not hub"

check: $(READY)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)  ## ratios measured in one run
	$(BIN)/python -m tests.bench

clean:
	rm -rf $(VENV) build

$(READY): pyproject.toml .ci/constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "pasctl needs Python 3.11 or newer, found " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint .ci/constraints.txt --editable '.[dev]'
	touch $@
