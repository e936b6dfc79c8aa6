# Two commands for a fresh machine: `make report` (set up, run the main job) and `make test` (set up, run every check).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: report test setup lint clean

# The stamp depends on what decides the environment, so a changed constraint reinstalls.
$(VENV)/.installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

setup: $(VENV)/.installed

report: setup
	$(BIN)/gsi report --out report

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -n 2 -q

clean:
	rm -rf report .pytest_cache .mypy_cache .ruff_cache .hypothesis
