# install: .venv with the project and its test extra · run: serve the samples · test, check, bench, model, clean
PYTHON ?= python3
SIZE ?= 0.5b
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install run test check bench model clean

install: $(VENV)/.installed

# the first build of llama-cpp-python compiles llama.cpp: 4 to 10 minutes on 2 cores; pip keeps the wheel
$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) -V 2>&1); set PYTHON=…" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV); the first time compiles llama.cpp, which takes some minutes"
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

$(VENV)/.checked: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

run: install
	@exec $(BIN)/beira dev

test: install
	$(BIN)/python -m pytest

check: $(VENV)/.checked
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cd models/beira-tiny && ../../$(BIN)/mypy --config-file ../../pyproject.toml --allow-subclassing-any *.py
	$(BIN)/python -m pytest -q tests/test_imports.py

bench: install
	$(BIN)/python tests/bench/functions.py
	$(BIN)/python tests/bench/engine.py --size $(SIZE)

# the embedded model from nothing, or on from its last checkpoint: hours on 2 cores
RECIPE := models/beira-tiny
WORK := $(RECIPE)/work
STEPS ?= 6450
# a folder whose two files it goes on from where there is no checkpoint, as models/beira-tiny; STEPS counts theirs, too
FROM ?=
LOOKING ?= 1000
COUNT ?= 200
MODEL := .venv-model
# with glibc's own, a step of training takes 1.45 times as long (Debian: libtcmalloc-minimal4)
ALLOCATOR := $(firstword $(wildcard /usr/lib/*/libtcmalloc_minimal.so.4 /usr/lib/*/libjemalloc.so.2))

$(MODEL)/.installed: pyproject.toml
	@test -x $(MODEL)/bin/python || $(PYTHON) -m venv $(MODEL)
	$(MODEL)/bin/pip install --quiet --disable-pip-version-check torch --index-url https://download.pytorch.org/whl/cpu \
		|| $(MODEL)/bin/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(MODEL)/bin/pip install --quiet --disable-pip-version-check --editable '.[test,model]'
	@touch $@

$(WORK)/tokenizer.json: | $(MODEL)/.installed
	$(MODEL)/bin/python $(RECIPE)/tokens.py --out $@

model: $(MODEL)/.installed
	@test -z "$(FROM)" -o -e $(WORK)/checkpoint.pt || $(MODEL)/bin/python $(RECIPE)/restore.py --model $(FROM) --work $(WORK)
	@$(MAKE) --no-print-directory $(WORK)/tokenizer.json
	LD_PRELOAD=$(ALLOCATOR) nice -n 10 $(MODEL)/bin/python $(RECIPE)/train.py --work $(WORK) --steps $(STEPS) --looking $(LOOKING)
	$(MODEL)/bin/python $(RECIPE)/export.py --work $(WORK) --out $(RECIPE)
	$(MODEL)/bin/python $(RECIPE)/evaluate.py --model $(RECIPE) --count $(COUNT) --json $(RECIPE)/figures.json --sheet $(RECIPE)/sheet.png
	$(MODEL)/bin/python $(RECIPE)/parity.py --work $(WORK) --json $(RECIPE)/parity.json

clean:
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
