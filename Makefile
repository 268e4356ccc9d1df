# Each target sets up what it needs by itself; run again, it starts at once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROSE := src research tests benchmarks scripts examples docs README.md CONTRIBUTING.md CHANGELOG.md
# Of installed plugins pytest would rewrite every module, those of schemathesis alone for seconds.
PLUGINS := --disable-plugin-autoload -p xdist -p hypothesispytest
export EMOSCOPE_DATA ?= $(abspath ../shared/data)

.PHONY: help demo serve compare test lint docs dist clean

help:  ## Say what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

demo: $(VENV)/.ready-demo  ## Set up what prediction needs, then label the example recordings
	$(BIN)/emoscope predict --each-alone examples/*.flac $(ARGS)

serve: $(VENV)/.ready-serve  ## Set up, then serve the browser page and the HTTP API on this machine
	$(BIN)/emoscope serve $(ARGS)

compare: $(VENV)/.ready  ## Set up, then compare every model on the bundled RAVDESS features
	$(BIN)/emoscope compare $(ARGS)

test: $(VENV)/.ready-test  ## Set up, then run every test
	$(BIN)/python -m pytest $(PLUGINS) -n logical --dist worksteal $(ARGS)

lint: $(VENV)/.ready-test  ## Check style, types and spelling
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/codespell $(PROSE)

dist: $(VENV)/.ready-dist  ## Build wheel and sdist, check them, use the wheel in a bare environment (ARGS="--python …")
	$(BIN)/python scripts/check_distribution.py $(ARGS)

docs: $(VENV)/.ready-test  ## Build the documentation into build/site/; a warning ends it
	$(BIN)/sphinx-build -W --keep-going -q docs build/site
	@echo "open build/site/index.html"

clean:  ## Remove the environment and everything built
	rm -rf $(VENV) build dist docs/generated .pytest_cache .mypy_cache .ruff_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# Each larger set-up includes the smaller ones.
$(VENV)/.ready-demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.ready-serve: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[serve]'
	@touch $(VENV)/.ready-demo $@

$(VENV)/.ready: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[deep,plots]'
	@touch $(VENV)/.ready-demo $@

$(VENV)/.ready-test: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[deep,encoders,onnx,parquet,plots,serve,listen,video,cluster,docs,test]'
	@touch $(VENV)/.ready $(VENV)/.ready-demo $(VENV)/.ready-serve $@

$(VENV)/.ready-dist: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dist]'
	@touch $@
