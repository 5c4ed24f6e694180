# One way to do each thing: set up, check, test, try, look.
PYTHON ?= python3
BIN := .venv/bin
# Where files stay in memory, if it has 4 GB left.
IN_MEMORY = $(shell test "$$(df --output=avail /dev/shm 2>/dev/null | tail -1)" -gt 4000000 2>/dev/null && echo /dev/shm)
export BILLING_HOME ?= $(CURDIR)/billing_home
export DAGSTER_HOME ?= $(BILLING_HOME)/dagster
export DO_NOT_TRACK := 1
export DBT_SEND_ANONYMOUS_USAGE_STATS := false

.PHONY: setup check test demo ui bench oracle mutants clean

## Everything a fresh Debian machine with Python and make needs: system libraries, .venv, the billing command.
setup: .venv/.ready

.venv/.ready: requirements.lock pyproject.toml
	@sh tools/system-libraries
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

## Style, types, layers, SQL.
check: setup
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/ty check billing_pipeline/rules billing_pipeline/tables
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint dbt_project --disable-progress-bar

## The whole default suite; its files are kept in memory where there is some for files.
test: check
	$(if $(IN_MEMORY),PYTEST_DEBUG_TEMPROOT=$(IN_MEMORY)) $(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder

## A sample provider, two months closed and issued, and where the invoices are.
demo: setup
	$(BIN)/billing demo

## The Dagster UI and its daemon on the demo's data.
ui: setup
	$(BIN)/billing ui

## Stages timed apart beside a bare scan; ROWS=10000000 by default.
bench: setup
	$(BIN)/python tests/benchmarks/stages.py --rows $(or $(ROWS),10000000)

## Generated months of ORGANISATIONS (100000 by default) against the oracle.
oracle: setup
	$(BIN)/python tests/oracle/run.py --organisations $(or $(ORGANISATIONS),100000)

## One small fault at a time in the rules and in the SQL that carries money: do the tests notice? About an hour.
mutants: setup
	$(BIN)/python tests/mutants/run.py rules
	$(BIN)/python tests/mutants/run.py models

clean:
	rm -rf .venv billing_home
