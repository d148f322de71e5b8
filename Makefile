# Everything starts from `make demo` or `make test`; nothing else is needed before them.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: install demo poc test test-quick test-long test-all test-gpu gpu-here fuzz drills lint docs jobs wheel smoke release rights clean

# Tests start hundreds of processes: what Python compiles for one is kept for the others.
unexport PYTHONDONTWRITEBYTECODE

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "Consilium needs Python 3.10 or later; $(PYTHON) is $$($(PYTHON) -V). Try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@echo "making a virtual environment, .venv, with $$($(PYTHON) -V): some seconds"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python tools/install.py
	@touch $@

demo: $(STAMP)
	$(BIN)/consilium demo

poc: $(STAMP)
	$(BIN)/consilium poc run

# Two at a time, as most start a federation of their own. A group of tests shares one and stays together.
test: test-quick
	OMP_NUM_THREADS=1 $(BIN)/pytest -m 'integration and not long' --numprocesses 2 --dist loadscope

# One test process per core, each with one thread: more fight for the cores. A tenth of the random examples.
test-quick: $(STAMP)
	CONSILIUM_FUZZ=0.1 OMP_NUM_THREADS=1 $(BIN)/pytest tests/unit -m 'not integration and not drill and not long' \
		--numprocesses auto --dist loadscope

# The rest, but for the drills: more algorithms, interruptions, random examples, real patients, and long runs of one command.
test-long: $(STAMP)
	CONSILIUM_FUZZ=0.5 OMP_NUM_THREADS=1 $(BIN)/pytest -m 'long or hypothesis' --numprocesses 2 --dist loadscope

test-all: test test-long

# What only an NVIDIA GPU can show. -s shows what was measured.
test-gpu: gpu-here $(STAMP)
	$(BIN)/pytest -m gpu tests/gpu -v -s

gpu-here:
	@nvidia-smi > /dev/null 2>&1 || { echo "nvidia-smi finds no NVIDIA GPU here: nothing is tested. Most of it on the CPU:"; \
		echo "CONSILIUM_TEST_DEVICE=cpu $(BIN)/pytest -m gpu tests/gpu"; exit 1; }

# Tests by property with twenty times as many examples as by default.
fuzz: $(STAMP)
	CONSILIUM_FUZZ=20 OMP_NUM_THREADS=1 $(BIN)/pytest -m hypothesis --numprocesses auto --dist worksteal

# Needs root for network namespaces and small disks; what it can't do it skips, with the reason.
drills: $(STAMP)
	$(BIN)/pytest -m drill -v

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The site, into build/site; a link that leads nowhere is an error.
docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

jobs: $(STAMP)
	$(BIN)/consilium jobs export --to jobs

# For a trial; what is handed out comes from `make release`.
wheel: $(STAMP)
	provision/wheel.sh dist

# The wheel in an empty environment, outside of the checkout: commands, and a job that trains.
smoke: $(STAMP)
	provision/smoke.sh

release: $(STAMP)
	provision/release.sh

# The tables of docs/rights.md and docs/refusals.md, from the policy and the codes.
rights: $(STAMP)
	$(BIN)/python tools/rights.py docs/rights.md
	$(BIN)/python tools/refusals.py docs/refusals.md

clean:
	rm -rf .venv runs build
