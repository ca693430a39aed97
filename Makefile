# make demo: a simulated vendor from raw tables to ranked leads.   make test: the whole suite.   make help: the rest.
PYTHON ?= python3.11
BIN := .venv/bin
export PYTHONDONTWRITEBYTECODE :=
export OMP_WAIT_POLICY := PASSIVE
export BENTOML_DO_NOT_TRACK := True
export MLFLOW_DISABLE_TELEMETRY := true
export DVC_NO_ANALYTICS := true

.PHONY: help setup demo test quick check serve mlflow repro docs bench results lock clean

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: .venv/ready ## .venv from requirements.lock

.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -q -j 2 .venv/lib || true # some packages ship files of other Python versions
	touch $@

demo: setup ## simulate, train, score; prints the ten best leads and how to open the page
	$(BIN)/expansion demo --workspace workspace

test: setup ## the whole test suite, in two processes
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

quick: setup ## the tests that take seconds
	$(BIN)/python -m pytest -m "not slow"

check: setup ## ruff, format, mypy, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

serve: setup ## the service over the demo's release
	$(BIN)/expansion serve --workspace workspace

mlflow: setup ## the run ledger of the demo in a browser, on loopback
	$(BIN)/mlflow ui --backend-store-uri sqlite:///workspace/mlflow.db --host 127.0.0.1 --port 5000

repro: setup ## rebuild everything with DVC into build/
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro

docs: setup ## the generated pages
	$(BIN)/python -m warehouse.raw > docs/data-contract.md
	$(BIN)/python -m features.handbook > docs/features.md
	$(BIN)/python -m simulator.handbook docs/simulator.md

bench: setup ## how fast a vendor is invented, ingested, made features of, scored and served, and how hard its worlds are: hours
	$(BIN)/python benchmarks/ingest.py
	$(BIN)/python -m benchmarks.windows
	$(BIN)/python -m benchmarks.spark
	$(BIN)/python benchmarks/simulate.py
	$(BIN)/python -m benchmarks.worlds
	$(BIN)/python -m benchmarks.night
	$(BIN)/python -m benchmarks.answers

results: setup ## docs/results.md: every bar measured; six worlds of 20,000 accounts on five seeds, hours; it resumes
	$(BIN)/python -m benchmarks.results

lock: setup ## pin every package anew
	$(BIN)/uv pip compile pyproject.toml --universal --all-extras --generate-hashes --python-version 3.11 -o requirements.lock

clean: ## everything that was built
	rm -rf .venv workspace build
