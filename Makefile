# Two commands matter: `make serve` and `make test`. Everything else is what they are made of.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export STANDPIPE_HOME ?= $(CURDIR)/.standpipe

.PHONY: serve test check format lock clean readme bench bench-flat bench-start bench-guard bench-records faults

serve: $(VENV)/runtime.done weights ## Serve on http://127.0.0.1:8787 with the embedded model.
	@exec $(BIN)/standpipe serve

# The tests run real processes against deadlines, and a busy machine can starve one of them. What
# failed runs once more, alone: what is broken fails again, and what passes then is named as unsteady.
test: check weights ## Run every check and every test.
	@$(BIN)/pytest -n 2 --dist loadfile || { [ $$? -eq 1 ] && \
		echo 'What failed runs once more, alone. Unsteady is what passes now:' && \
		$(BIN)/pytest --verbose --last-failed --last-failed-no-failures=none; }

check: $(VENV)/dev.done ## Format, lint, types, import layers.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/dev.done ## Rewrite files in the one format.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

readme: $(VENV)/dev.done ## Write the README's tree and docs/fidelity.md anew.
	$(BIN)/python tools/tree.py
	$(BIN)/python tools/fidelity.py

bench: $(VENV)/dev.done ## Measure beside others, 25 minutes; see docs/benchmarks. BENCH=--quick looks in 2.
	PYTHONPATH=benchmarks $(BIN)/python -m speed $(BENCH)

bench-flat: $(VENV)/dev.done ## Measure that cost stays flat, a quarter of an hour; FLAT=--quick looks.
	PYTHONPATH=benchmarks $(BIN)/python benchmarks/flat.py $(FLAT)

bench-start: $(VENV)/dev.done weights ## Measure a start; see docs/benchmarks.
	$(BIN)/python benchmarks/start.py

bench-guard: $(VENV)/dev.done ## Count the instructions of a call; GUARD=--write records them.
	PYTHONPATH=benchmarks $(BIN)/python -m guard $(GUARD)

bench-records: $(VENV)/dev.done ## Store a million records in each database and ask for them; a quarter of an hour.
	PYTHONPATH=tests $(BIN)/python benchmarks/records.py --write docs/benchmarks

faults: $(VENV)/dev.done weights ## Kill, fill, stop and cut, half an hour long; writes docs/durability.md.
	PYTHONPATH=tests $(BIN)/python -m faults

.PHONY: weights
weights: $(VENV)/runtime.done
	@$(BIN)/standpipe models pull

$(VENV)/pyvenv.cfg:
	$(PYTHON) -m venv $(VENV)

$(VENV)/runtime.done: $(VENV)/pyvenv.cfg requirements/runtime.lock requirements/build.lock pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.lock -r requirements/runtime.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev.done: $(VENV)/runtime.done requirements/dev.lock requirements/extras.lock requirements/fidelity.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock -r requirements/extras.lock -r requirements/fidelity.lock
	@touch $@

UV ?= uv
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header
CLIENTS := tests/clients
lock: ## Make the lock files anew (needs uv and npm).
	$(COMPILE) requirements/build.in -o requirements/build.lock
	$(COMPILE) --extra local pyproject.toml -o requirements/runtime.lock
	$(COMPILE) -c requirements/runtime.lock -c requirements/build.lock requirements/dev.in -o requirements/dev.lock
	$(COMPILE) -c requirements/runtime.lock --extra audio --extra bedrock --extra embeddings --extra litellm --extra postgres --extra redis pyproject.toml -o requirements/extras.lock
	$(COMPILE) -c requirements/runtime.lock -c requirements/extras.lock --extra local --extra postgres --extra redis pyproject.toml -o requirements/container.lock
	$(COMPILE) -c requirements/runtime.lock -c requirements/extras.lock -c requirements/dev.lock requirements/fidelity.in -o requirements/fidelity.lock
	for name in $(basename $(notdir $(wildcard $(CLIENTS)/*.in))); do $(COMPILE) $(CLIENTS)/$$name.in -o $(CLIENTS)/$$name.lock || exit; done
	for folder in $(dir $(wildcard $(CLIENTS)/*/package.json)); do (cd $$folder && npm install --package-lock-only --omit-lockfile-registry-resolved) || exit; done

clean: ## Remove what was made here; .standpipe, your data, stays.
	rm -rf $(VENV) .cache build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
