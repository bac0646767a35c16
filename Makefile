# make quickstart   set up, then the main job on the embedded default data (about 15 minutes on 2 cores)
# make test         set up with the test oracles, then lint and all tests
# make bench        set up with the peers, then measure beside them (see docs/performance.md)
# make clean        remove the environment
#
# Needs Python 3.11 or newer, found as $(PYTHON); everything else is installed into $(VENV).

PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV ?= .venv
BIN := $(VENV)/bin
# Python 3.11 ends at jax 0.10; later Pythons take the newest. Both sets are pinned and tested.
CONSTRAINTS = constraints/$(shell $(PYTHON) -c 'import sys; print("python311" if sys.version_info < (3, 12) else "python312")').txt

# XLA on a CPU asks for its work space anew at every step; keeping it saves a quarter of the time.
# (Not MALLOC_ARENA_MAX=1: its threads wait for one another, and steps took 15 % longer.)
MALLOC = GLIBC_TUNABLES=glibc.malloc.hugetlb=1 MALLOC_MMAP_MAX_=0 \
	MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_TOP_PAD_=268435456

.PHONY: quickstart test lint bench clean
.DELETE_ON_ERROR:

quickstart: $(VENV)/.installed
	$(MALLOC) $(BIN)/surgzoo quickstart

test: $(VENV)/.installed-dev lint
	$(BIN)/python -m pytest -n auto --maxprocesses=4 --dist=loadfile

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: $(VENV)/.installed-dev
	$(BIN)/surgzoo bench

$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "surgzoo needs Python 3.11 or newer; none was found. Set PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	touch $@

$(VENV)/.installed: $(VENV)/.made pyproject.toml $(wildcard constraints/*.txt)
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.made pyproject.toml $(wildcard constraints/*.txt)
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable '.[dev]'
	touch $(VENV)/.installed $@

clean:
	rm -rf $(VENV)
