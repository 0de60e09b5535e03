# Dargah's commands. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN_READY := $(VENV)/.ready-run
READY := $(VENV)/.ready
DEPLOY_READY := $(VENV)/.ready-deploy
CLIENTS := tests/clients/families
CLIENTS_READY := $(VENV)/clients/.ready
PEERS_READY := $(VENV)/peers/.ready

.DEFAULT_GOAL := help
.PHONY: help demo run quick test test-again torture torture-replicas torture-machines test-clients drop-in-matrix test-pages test-deploy test-image test-first-run test-wheel check audit sbom release docs format bench bench-postgres bench-console bench-peers demo-svg screenshots preview font lock clean

help:  ## list the commands
	@grep -hE '^[a-z][a-z-]*:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "  make %-16s %s\n", $$1, $$2}'

# What runs Dargah and its demo. What develops and tests it comes into the same environment, when it is asked for.
$(RUN_READY): requirements-demo.txt pyproject.toml
	@.ci/environment $(PYTHON) $(VENV) requirements-demo.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
	@touch $@

$(READY): requirements-dev.txt $(RUN_READY)
	@.ci/environment $(BIN)/python $(VENV) requirements-dev.txt
	@touch $@

$(DEPLOY_READY): requirements-deploy.txt $(READY)
	@.ci/environment $(BIN)/python $(VENV) requirements-deploy.txt
	@touch $@

$(CLIENTS_READY): $(wildcard $(CLIENTS)/python*.txt) $(CLIENTS)/package-lock.json .ci/clients $(READY)
	.ci/clients
	@touch $@

$(PEERS_READY): bench/peers/requirements.txt .ci/peers $(READY)
	.ci/peers
	@touch $@

demo: $(RUN_READY)  ## one whole payment, end to end, over real HTTP
	$(BIN)/dargah demo

run: $(RUN_READY)  ## Dargah with a gateway simulator and a shop that is set up, until Ctrl-C
	$(BIN)/dargah up

# The core, the contracts of the stores and of the API, and one file for each edge.
QUICK := tests/core tests/delivery tests/house tests/store/test_payments.py tests/store/test_deliveries.py \
	tests/web/test_http.py tests/web/test_payments.py tests/web/test_facade.py tests/web/test_customer.py \
	tests/adapters/test_gateway.py tests/adapters/test_sender.py tests/simulator/test_request.py \
	tests/operators/test_setup.py tests/security/test_browsers.py tests/e2e/test_outcomes.py \
	tests/torture/test_stories.py

quick: $(READY)  ## the core, the contracts and one of each edge, within a minute
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 2 $(QUICK)

# Bytecode is kept even where the environment says not to: each `dargah serve` of the tests would compile all of it.
test: $(READY) $(CLIENTS_READY)  ## every test, on real HTTP and real files
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 3 --dist worksteal

# As CPython's own tests do. More than three are no chance, and a run that ended without a failed test did not run.
test-again: $(READY)  ## up to three tests that `make test` saw fail, each alone: one that passes now depends on chance, and is a fault to mend
	$(BIN)/python -c "import json; assert 0 < len(json.load(open('.pytest_cache/v/cache/lastfailed'))) <= 3"
	@echo "FAILED ONCE, run again alone; whatever passes now is a fault that depends on chance (its trace is above):"
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 0 -v -rA --show-capture=no --last-failed --last-failed-no-failures=none

test-clients: $(READY) $(CLIENTS_READY)  ## shops, webhook libraries and gateway clients that others wrote, none skipped; needs node, Python 3.12 and 3.13, npm's registry
	DARGAH_TEST_CLIENTS=required $(BIN)/python -m pytest tests/e2e/test_clients.py tests/gateways/test_public_clients.py

test-pages: $(READY)  ## every page of the console and the portal in Persian and English, dark and light, on a desk and a phone; needs chromium
	DARGAH_TEST_PAGES=every $(BIN)/python -m pytest -n 0 tests/browser/test_pages.py

drop-in-matrix: $(READY) $(CLIENTS_READY)  ## shops of three protocols before every family of gateways, on both stores: one table, 15 to 20 minutes
	cd tests && PYTHONPATH=.. ../$(BIN)/python -m gateways.matrix

test-deploy: $(DEPLOY_READY)  ## deploy/ held against the real tools, all of them; needs apt and root for those of Debian
	.ci/tools
	DARGAH_TEST_DEPLOY=required $(BIN)/python -m pytest -n 2 tests/deploy tests/supply

test-image: $(READY)  ## follow the Dockerfile in an empty Debian root and start what it makes; needs root, apt and PyPI
	DARGAH_TEST_IMAGE=required $(BIN)/python -m pytest -n 0 tests/deploy/test_image.py

test-first-run: $(READY)  ## README.md and the quickstart, followed to the letter on bare Debian machines, and the minutes; needs root, mmdebstrap and PyPI
	cd tests && ../$(BIN)/python -m first_run

test-wheel: $(READY)  ## the wheel in empty environments of Python 3.11, 3.12 and 3.13, and beside PyPI's proxy.py; needs those and PyPI
	DARGAH_TEST_WHEEL=required $(BIN)/python -m pytest -n 0 tests/supply/test_install.py

torture: $(READY)  ## try to lose a payment: the whole campaign, within an hour
	$(BIN)/python -m tests.torture

torture-replicas: $(READY)  ## the same of three replicas and their PostgreSQL, which are killed, paused and cut off: 10 to 20 minutes
	$(BIN)/python -m tests.torture.replicas

torture-machines: $(READY)  ## the same while machines fail: PostgreSQL fails over (PgBouncer, TLS), full and read-only disks, two processes on one file, power cuts, slow DNS, clock jumps: 20 minutes
	$(BIN)/python -m tests.torture.machines

check: $(READY)  ## format, lint, types, security rules, licences, imports, the structure's measures and the budget of CPU instructions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy proxy tests
	$(BIN)/mypy bench
	$(BIN)/mypy --python-version 3.10 proxy/reference/clients/python/dargah_client.py
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml proxy
	$(BIN)/python -m tests.supply.licences
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/python -m tests.house.measures
	$(BIN)/python -m bench.budget

audit: $(DEPLOY_READY)  ## known vulnerabilities of what the locks name; needs the network
	$(BIN)/pip-audit --require-hashes --disable-pip --no-deps -r requirements.txt

sbom: $(READY)  ## dist/dargah.cdx.json, what a release is made of (CycloneDX)
	$(BIN)/python -m tests.supply.sbom dist/dargah.cdx.json

release: $(READY)  ## wheel, sdist, image context, chart, lock, bill of materials, hashes and provenance in dist/, the same bytes each time
	cd tests && ../$(BIN)/python -m supply.release ../dist

docs: $(READY)  ## write the generated parts of docs/ again
	$(BIN)/python -m tests.deploy.settings_table
	cd tests && ../$(BIN)/python -m reference.story
	cd tests && ../$(BIN)/python -m gateways.family_table
	cd tests && ../$(BIN)/python -m reference.client_types

format: $(READY)  ## put the code in its format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)  ## creates, webhooks, growth and memory, as docs/performance.md shows them, within 15 minutes
	$(BIN)/python -m bench

bench-postgres: $(READY)  ## creates of one to three replicas beside SQLite and a pass-through
	$(BIN)/python -m bench.postgres

bench-console: $(READY)  ## every page, search and export of the console at a million payments, on SQLite and PostgreSQL
	$(BIN)/python -m bench.console

bench-peers: $(READY)  ## Dargah beside a gateway library on Django and beside queues that send webhooks, 10 minutes; needs PyPI, and Debian's redis-server
	@$(MAKE) --no-print-directory $(PEERS_READY) || echo "NOT RUN: the peers could not be installed" >&2
	$(BIN)/python -m bench.peers

demo-svg: $(READY)  ## a run of the demo as docs/images/demo.svg
	$(BIN)/python -m tests.reference.demo_svg

screenshots: $(READY)  ## every page in Persian and English, light and dark, as docs/images/; needs Debian's chromium and pngquant
	cd tests && ../$(BIN)/python -m browser.screenshots

preview:  ## draw the picture that messengers show beside a pay link, from proxy/http/static/preview.svg (needs chromium)
	cd tests && ../$(BIN)/python -m browser.screenshots --preview

font:  ## make the pages' font anew from npm's Vazirmatn (needs npm and both registries)
	proxy/http/static/subset.sh

# The clients name these as if they needed them to run; none imports them.
NOT_OF_CLIENTS := iniconfig librt mypy mypy-extensions packaging pathspec pluggy pygments pytest requests-mock setuptools types-requests

lock:  ## write the hash-locked requirements again (needs uv, npm and the network)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml -o requirements.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml --extra dev -o requirements-dev.txt
	echo 'setuptools>=77' | uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml - --extra demo -c requirements-dev.txt -o requirements-demo.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml --extra deploy -c requirements-dev.txt -o requirements-deploy.txt
	echo 'setuptools>=77' | uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header - -c requirements-dev.txt -o requirements-build.txt
	for python in 3.11 3.12 3.13; do \
	  uv pip compile --python-version $$python --generate-hashes --no-emit-index-url --no-header --no-annotate \
	    $(NOT_OF_CLIENTS:%=--no-emit-package %) $(CLIENTS)/python$$python.in -o $(CLIENTS)/python$$python.txt || exit 1; \
	done
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
	  bench/peers/requirements.in -o bench/peers/requirements.txt
	cd $(CLIENTS) && npm install --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts --no-audit --no-fund

clean:  ## remove what the other commands made
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
