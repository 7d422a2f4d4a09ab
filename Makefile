# `make demo` and `make test` set up all they need; everything they install is in .venv, pinned by requirements.lock.

PYTHON ?= python3
BIN := .venv/bin
export PREFECT_HOME ?= $(CURDIR)/.prefect
export PREFECT_SERVER_ANALYTICS_ENABLED ?= false
export DO_NOT_TRACK ?= 1
# INSTALL(environment, lock): locks are complete, so nothing else is added.
INSTALL = env UV_LINK_MODE=copy $(BIN)/uv pip install --quiet --system-certs --python $(1)/bin/python --no-deps --requirement $(2)

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-shapes demo-vllm up down test test-all test-fast check lint format types docs vllm servers llama-cpp bench bench-peers lock clean

help:  ## Show what there is to type
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: .venv/ready  ## Set up .venv (done by the others as needed)

# uv, which pip installs, takes a quarter of pip's time; bytecode is compiled now, or every start would pay for it.
.venv/ready: requirements.lock pyproject.toml
	@echo "Setting up .venv: a minute or two"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "shapebench needs Python 3.11 or newer; name one: make PYTHON=python3.12 …")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^uv==' requirements.lock | cut -d ' ' -f 1)"
	@UV_LINK_MODE=copy $(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python --compile-bytecode --requirement requirements.lock
	@$(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python --no-deps --editable .
	@touch $@

demo: setup  ## Run the main job against the embedded simulator
	@$(BIN)/python -m cli.demo

demo-shapes: setup  ## Choose among four simulated machines, measured at the same time
	@$(BIN)/python -m cli.demo_shapes

demo-vllm: setup vllm  ## Run the main job against real vLLM on this machine's CPU
	@$(BIN)/shapebench run examples/vllm-cpu.yaml

PORT ?= 4200

up: setup  ## Start Prefect here (server, worker, deployments); SPEC=my.yaml sets their defaults, PORT=4201 the port
	@$(BIN)/python -m cli.local_prefect.up up --port $(PORT) $(if $(SPEC),--spec $(SPEC))

down:  ## Stop what `make up` has started
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m cli.local_prefect.up down; fi

# Tests run in one process for each core; a file's tests share one. What measures time comes after that, with the machine
# to itself, or others would change what it measures.
WORKERS ?= $(shell nproc)
PYTEST := $(BIN)/python -m pytest
PARALLEL := --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder
TIMED := $(shell grep -rl measures_time tests --include='test_*.py')

test: setup  ## Run the tests of every part, within some minutes
	$(PYTEST) $(PARALLEL) -m "not measures_time and not nightly"
	$(PYTEST) -m "measures_time and not nightly and not live" $(TIMED)

test-all: export TESTS = all
test-all: setup servers  ## Run all tests: long waits, real servers, all faults
	$(PYTEST) $(PARALLEL) -m "not measures_time"
	$(PYTEST) -m measures_time $(TIMED)

test-fast: setup  ## Run those that start no servers and browsers
	$(PYTEST) $(PARALLEL) -m "not slow and not browser and not nightly"

check: lint types  ## Lint, format and type checks

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports

types: setup
	$(BIN)/mypy

format: setup  ## Put the code into its form
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: setup  ## Write docs/validation.md, docs/data-dictionary.md and docs/schemas from the code
	$(BIN)/python -m expectations.make_docs
	$(BIN)/python -m shapebench.results.make_dictionary
	$(BIN)/python -m cli.json_schemas

vllm: ## Install real vLLM for the CPU into .venv-vllm, with a tiny model (3.5 GB, minutes)
	sh vllm/install.sh .venv-vllm

LIVE := tests/live/servers

servers: setup vllm .venv-litellm/ready  ## Install the real servers of the tests: vLLM, LiteLLM's proxy (4 GB, minutes)

.venv-litellm/ready: $(LIVE)/litellm.lock
	@$(PYTHON) -m venv --clear .venv-litellm
	@$(call INSTALL,.venv-litellm,$<)
	@touch $@

# It compiles, so neither `servers` nor the tests ask for it; where it is, the tests use it.
llama-cpp: setup .venv-llama-cpp/models/tiny.gguf  ## Build llama-cpp-python's server for the tests (10 minutes on 2 cores)

.venv-llama-cpp/models/tiny.gguf: $(LIVE)/llama_cpp.lock $(LIVE)/make_gguf.py
	@$(PYTHON) -m venv --clear .venv-llama-cpp
	@export CMAKE_BUILD_PARALLEL_LEVEL=2; nice $(call INSTALL,.venv-llama-cpp,$<)
	@.venv-llama-cpp/bin/python $(LIVE)/make_gguf.py $@

bench: setup  ## Measure the load generator against a server of known timing
	$(BIN)/python bench/accuracy.py

bench-peers: setup vllm  ## The same with AIPerf, GuideLLM and vllm bench serve beside it (installs them: 3 GB, minutes)
	sh bench/peers/install.sh .
	$(BIN)/python bench/accuracy.py --peers

lock: setup  ## Resolve requirements.lock anew
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-header --upgrade \
		--group dev pyproject.toml --output-file requirements.lock

clean:  ## Remove what was set up and measured
	rm -rf .venv .prefect data .mypy_cache .pytest_cache .ruff_cache .hypothesis
