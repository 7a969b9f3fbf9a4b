# One command to install, one to see a result, one to test. PYTHON, VENV and JOBS may be set.
PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
PROFILE ?= paper
KILLS ?= 200
RUN = $(VENV)/bin/smc-bench

.PHONY: install dev quickstart test test-slurm test-faults lint types reproduce-ablation_embeddings clean

install: $(VENV)/.installed

# torch first and pinned: a later resolution would otherwise replace it by another build.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

dev: $(VENV)/.dev

$(VENV)/.dev: $(VENV)/.installed
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

quickstart: install
	$(RUN) fetch suites/quickstart.yaml
	$(RUN) run suites/quickstart.yaml --jobs $(JOBS)

reproduce-ablation_embeddings: install
	$(RUN) run suites/ablation_embeddings.yaml --profile $(PROFILE) --jobs $(JOBS)

lint: dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports

types: dev
	$(VENV)/bin/mypy

test: dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports
	$(VENV)/bin/mypy
	HF_HUB_OFFLINE=1 $(VENV)/bin/pytest

# A real SLURM on this machine: installs Debian packages where they are missing, so it needs root.
test-slurm: dev
	SMC_BENCH_TEST_SLURM=1 HF_HUB_OFFLINE=1 $(VENV)/bin/pytest tests/slurm

# The long campaign: random kills of local runs.
test-faults: install
	$(VENV)/bin/python benchmarks/faults.py --kills $(KILLS)

clean:
	rm -rf $(VENV)
