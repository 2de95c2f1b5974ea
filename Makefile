# `make` alone lists the commands.
PYTHON ?= python3
BIN := .venv/bin

# pip compiles every module of 150 packages, most of which are never imported. Python compiles what it imports.
export PYTHONDONTWRITEBYTECODE :=
PIP := $(BIN)/python -m pip --disable-pip-version-check install --no-compile

# The tested versions. CONSTRAINTS=constraints.hashes.txt also refuses every file that is not the tested one.
CONSTRAINTS := constraints.txt

# pip checks hashes of files only, so what the project needs comes first, by name, and then the project itself.
# (An older pip would not read hashes of constraints, so a newer pip is installed before all else.)
define install
	$(BIN)/python -c 'import sys, tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	  print(*project["dependencies"], *sum(map(project["optional-dependencies"].get, sys.argv[1:]), []), sep="\n")' \
	  $(1) > .venv/requirements.txt
	$(PIP) -c $(CONSTRAINTS) -r .venv/requirements.txt
	$(PIP) --no-deps -e .
endef

.PHONY: help setup reproduce test notebooks site lint clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.tools ## make .venv with the tested versions of everything (PYTHON=... chooses the interpreter)

.venv/.notebooks: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Python 3.11 or newer is needed and '$(PYTHON)' is not: name one, as in 'make setup PYTHON=python3.11'." >&2; \
	  exit 1; }
	$(PYTHON) -m venv .venv
	@awk '/^pip==/ {on = 1} on; on && !/\\$$/ {exit}' $(CONSTRAINTS) > .venv/requirements.txt
	$(PIP) --upgrade -r .venv/requirements.txt
	$(call install,data notebooks compress)
	@touch $@

.venv/.tools: .venv/.notebooks
	$(call install,data notebooks compress dev)
	@touch $@

reproduce: .venv/.notebooks ## run every notebook on simulated records; finished ones are skipped
	$(BIN)/ecglib run --profile smoke

# A process for each core, and one thread each: small networks gain nothing from more.
export OMP_NUM_THREADS := 1
PYTEST := $(BIN)/pytest --numprocesses logical --dist loadfile

# The notebooks get a run store of their own: results kept from before a change would hide the change.
# Warnings of nbval and Jupyter are not ours to fix; in our tests every warning is an error.
test: lint ## lint, run the tests, and compare the notebooks with what they printed
	$(PYTEST) tests
	@output=$$(mktemp -d) && trap 'rm -rf "$$output"' EXIT && export ECGLIB_OUTPUT="$$output" && set -x && \
	  $(BIN)/ecglib train --profile smoke && \
	  $(PYTEST) -o filterwarnings= --nbval-lax --nbval-current-env notebooks/

notebooks: setup ## run the notebooks in place: what they print then is what `make test` compares
	@output=$$(mktemp -d) && trap 'rm -rf "$$output"' EXIT && export ECGLIB_OUTPUT="$$output" && set -x && \
	  $(BIN)/ecglib train --profile smoke && TQDM_DISABLE=1 $(BIN)/jupyter nbconvert --to notebook --execute --inplace \
	  --ExecutePreprocessor.record_timing=False notebooks/*.ipynb notebooks/solutions/*.ipynb

site: setup ## make the site from the executed notebooks and the pages: build/site/index.html
	$(BIN)/sphinx-build -q -W --keep-going -c docs -b html . build/site

lint: setup ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean: ## remove what the commands above make again (not .venv)
	rm -rf papermill_runs/smoke figures/smoke build dist docs/api .pytest_cache .mypy_cache .ruff_cache
