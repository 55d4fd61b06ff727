# Two commands on a fresh machine with Python 3.11: `make demo` and `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready
# What the demo is told, such as DEMO='--out /tmp/demo --max-steps 100'.
DEMO ?=
# What the station is told, such as STATION='--port 8081'.
STATION ?=
# How many cases of bad input and faults the campaign tries.
N ?= 20000

.PHONY: demo station test check docs attack clean

demo: $(READY)
	$(BIN)/understudy demo $(DEMO)

station: $(READY)
	$(BIN)/understudy serve --demo $(STATION)

test: $(READY)
	$(BIN)/pytest -n auto --dist loadgroup --cov=understudy --cov-report=term

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(READY)
	$(BIN)/mkdocs build --strict

attack: $(READY)
	$(BIN)/python tests/robustness/run.py --cases $(N) --page docs/reliability.md

$(READY): pyproject.toml constraints.txt
	@echo "Setting up .venv (torch is large: some minutes the first time)"
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,dev]'
	@touch $@

clean:
	rm -rf .venv demo site
