# One command to install, one to see a result, one to test. PYTHON, VENV and JOBS may be set.
# make reproduce-NAME runs suites/NAME.yaml: the suite's own profile (paper, which without a GPU only
# says what it would cost), or PROFILE=laptop; PROFILE=paper insists; SLURM=1 submits.
# table1 and figure_schedules need no training; TIME=1 makes table1 measure as well.
PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
KILLS ?= 200
CASES ?= 10000
RUN = $(VENV)/bin/smc-bench
WHERE = $(if $(SLURM),--slurm,$(if $(filter-out paper,$(PROFILE)),--jobs $(JOBS)))
PROFILE_IS = $(if $(PROFILE),--profile $(PROFILE))

.PHONY: install dev docs quickstart study reports examples test test-slurm test-faults test-fuzz bench lint types clean

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
	@echo "the report as a page for a browser:"
	@$(RUN) report suites/quickstart.yaml --html

reproduce-table1: install
	$(RUN) cost $(if $(TIME),--time)

reproduce-figure_schedules: install
	$(RUN) schedules suites/figure_schedules.yaml

# A teacher alone, then what temperature does to its answers.
reproduce-figure_temperature: install
	$(RUN) run suites/figure_temperature.yaml $(PROFILE_IS) $(WHERE) --only arm=dense --no-report
	$(if $(SLURM),,$(RUN) temperatures suites/figure_temperature.yaml $(PROFILE_IS))

reproduce-%: install
	$(RUN) run suites/$*.yaml $(PROFILE_IS) $(WHERE)

lint: dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports

types: dev
	$(VENV)/bin/mypy

# The site, strictly, into build/docs/site. It needs no torch: sources are read, not imported.
docs: dev
	$(VENV)/bin/python docs/site/build.py build/docs

test: dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports
	$(VENV)/bin/mypy
	HF_HUB_OFFLINE=1 $(VENV)/bin/pytest -n logical --maxprocesses 4 --dist loadgroup --no-loadscope-reorder

# Every fault on a real SLURM on this machine: installs Debian packages where they are missing, so it needs root.
test-slurm: dev
	SMC_BENCH_TEST_SLURM=1 HF_HUB_OFFLINE=1 $(VENV)/bin/pytest tests/slurm

# The long campaign: random kills of local runs.
test-faults: install
	$(VENV)/bin/python benchmarks/faults.py --kills $(KILLS)

# Broken suites and arguments by the thousand: each is taken or refused in one line, and counted.
test-fuzz: dev
	SMC_BENCH_FUZZ=$(CASES) HF_HUB_OFFLINE=1 $(VENV)/bin/pytest tests/fuzz -s

# Every ratio against its named alternative, into benchmarks/results/. About an hour and a half on two
# idle cores; tasks' rows from SMC_BENCH_DATA_ROOT, DeepSparse from a venv of its own (docs/export.md).
bench: install
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[inference]"
	$(VENV)/bin/python benchmarks/training.py --rounds 2 --steps 4
	$(VENV)/bin/python benchmarks/suite.py
	$(VENV)/bin/python benchmarks/inference.py --rounds 4 $(if $(DEEPSPARSE),--python deepsparse=$(DEEPSPARSE))
	$(VENV)/bin/python benchmarks/verbs.py
	$(VENV)/bin/python benchmarks/workers.py
	$(VENV)/bin/python benchmarks/fisher.py

# The queue of docs/study.md: days of two cores; stops at Ctrl-C and goes on from there.
study: install
	VENV=$(VENV) JOBS=$(JOBS) scripts/study.sh

# Tables, figures and verdicts in results/reproduction, from the records there alone; seconds.
reports: install
	$(VENV)/bin/python scripts/reports.py

# The notebooks, executed anew.
examples: dev
	$(VENV)/bin/python scripts/examples.py

clean:
	rm -rf $(VENV)
