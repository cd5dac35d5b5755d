# Everything here needs Python 3.11+ and make only; what needs more says so.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
K8S := .venv-k8s
MEMBERS := shared services/classifier services/predictor services/strategy-selector services/executor services/health-monitor

.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-23s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements.txt $(addsuffix /pyproject.toml,$(MEMBERS))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(addprefix -e ./,$(MEMBERS))
	@$(BIN)/python -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>/dev/null || [ "$$(uname -s)" != Linux ] || { \
		echo "LightGBM needs the system library libgomp, which is missing."; \
		echo "Install it: apt-get install libgomp1  |  dnf install libgomp  |  apk add libgomp"; exit 1; }
	@touch $@

$(K8S)/.installed: requirements/k8s.txt
	$(PYTHON) -m venv $(K8S)
	$(K8S)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/k8s.txt
	@touch $@

setup: $(STAMP) ## environment in .venv, from the hashed lock

all: check test ## check and test

demo: $(STAMP) ## two real agents break four ways and are recovered
	@$(BIN)/mendbus demo

test: $(STAMP) ## the tests, with coverage; ends with pytest's closing line
	$(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=term --cov-report=json:results/coverage.json --junitxml=results/junit.xml

check: $(STAMP) $(K8S)/.installed ## formatting, lint, types, layers, what is installed, and every Kubernetes overlay
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports
	$(BIN)/python -m pip check
	$(K8S)/bin/python k8s/check.py

format: $(STAMP) ## rewrites the code in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

coverage: $(STAMP) ## line coverage, listed by file
	$(BIN)/python -m pytest -q --cov --cov-report=term-missing

bench: $(STAMP) ## measured figures beside a floor measured in the same run
	$(BIN)/python -m tests.bench

validate-recovery-time: $(STAMP) ## must / aim / measured of recovery and selection; fails when short by more than the machine's noise
	$(BIN)/python -m tests.bench --validate recovery-time

stress-test: $(STAMP) ## the same for 1000 errors/s over 10 s and over 60 s, counted one by one
	$(BIN)/python -m tests.bench --validate stress

chaos: $(STAMP) ## kills services and servers under load, then three servers under fire, from a seed, about half an hour (SEED=1 RECOVERIES=10000)
	@status=0; $(BIN)/python -m pytest -q -s -m chaos --timeout=900 tests/chaos || status=1; \
		$(MAKE) --no-print-directory cluster || status=1; exit $$status

cluster: $(STAMP) ## the second half of chaos: availability with its interval
	$(BIN)/python -m tests.cluster --seed $(or $(SEED),1) --recoveries $(or $(RECOVERIES),10000)

simulate: $(STAMP) ## schedules of faults in simulated time, each from a seed (SEEDS=200)
	$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),200)

fuzz: $(STAMP) ## everything that reads what others write, with what is nearly right (SECONDS=600 SEED=1)
	$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),600) --seed $(or $(SEED),1)

test-upgrade: $(STAMP) ## rolling replacement under load, from the contract's first revision and back
	$(BIN)/python -m pytest -q -s -m chaos --timeout=300 tests/chaos/test_upgrade.py

corpus: $(STAMP) ## makes real software fail and keeps what it says: texts to train the classifier on
	$(BIN)/python -m tests.corpus

model: $(STAMP) ## trains the classifier's model on those texts (NAME=errors-3 [LABELLED=FILE])
	$(BIN)/python -m tests.corpus.train $(NAME) $(if $(LABELLED),--labelled $(LABELLED)) --write

inference: $(STAMP) ## what the packaged models take for an answer, beside LightGBM's own call; wants a quiet machine
	$(BIN)/python -m tests.corpus.speed
	$(BIN)/python -m tests.bench.predicting

curve: $(STAMP) ## how many harvested texts the classifier needs to learn
	$(BIN)/python -m tests.corpus.curve

score: $(STAMP) ## public packs: ours beside baselines; fails when a must is missed (DATA=DIR [HOLDOUT=DIR] [JSON=--json])
	@$(BIN)/python -m tests.packs --data $(DATA) $(if $(HOLDOUT),--holdout $(HOLDOUT)) $(JSON)

score-signals: $(STAMP) ## false findings on the quiet part of public health data, and events found (DATA=DIR)
	@$(BIN)/python -m tests.signals $(DATA)

oracle: $(STAMP) ## what each strategy is worth on each case, measured by hand for hours; resumable (WORLDS=2 CASES=200)
	$(BIN)/python -m tests.lab.oracle --worlds $(or $(WORLDS),2) --cases $(or $(CASES),200)
	$(BIN)/python -m tests.lab.trials

fault-lab: $(STAMP) ## every fault of the lab through the whole pipeline, and a tenth of the oracle anew; fails when a must is missed
	@status=0; $(BIN)/python -m tests.lab.faultlab || status=1; $(BIN)/python -m tests.lab.recheck || status=1; exit $$status

choice: $(STAMP) ## learned strategy choice against the oracle, fault kinds unseen (FIT=NAME writes the model; NESTED=1 sets its constants without the kind judged)
	$(BIN)/python -m tests.lab.choice $(if $(NESTED),--nested) $(if $(FIT),--fit $(FIT))

detection: $(STAMP) ## growing faults beside the real health-monitor: how many it foretells, how often for nothing
	$(BIN)/python -m tests.lab.detection

preventing: $(STAMP) ## growing faults with predictions acted upon and without: failures avoided, harm of false alarms (RUNS=80)
	$(BIN)/python -m tests.lab.preventing --runs $(or $(RUNS),80)

record: $(STAMP) ## health and errors of the lab's agents while faults grow, for training (RUNS=200)
	$(BIN)/python -m tests.lab.record --runs $(or $(RUNS),200)

soak: $(STAMP) ## half an hour of real mixed load with faults, then 24 h of simulated time (MINUTES=30)
	@status=0; $(BIN)/python -m tests.lab.soak --minutes $(or $(MINUTES),30) || status=1; \
		$(BIN)/python -m tests.lab.soak --simulated-hours 24 || status=1; exit $$status

lab-scale: $(STAMP) ## times of the lab's work from a thousand to a million lines
	$(BIN)/python -m tests.lab.scale

benchmark-report: $(STAMP) ## one page, Markdown and HTML, of everything that was measured
	$(BIN)/python -m tests.report

proto: $(STAMP) ## regenerates schemas and AsyncAPI document from the code
	$(BIN)/python -m mendbus.proto --write proto

test-browser: $(STAMP) ## the dashboard in a headless browser, pictures into results/screenshots (needs Debian's chromium)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --no-deps --require-hashes --target .venv-browser -r requirements/browser.txt
	PYTHONPATH=.venv-browser $(BIN)/python -m pytest -q -rs -s -m browser tests/browser

test-node: $(STAMP) ## an agent in Node, written from proto/ alone, is recovered (needs node and npm)
	$(BIN)/python -m pytest -q -rs -m "node and not jaeger" tests/system

test-go: $(STAMP) ## an agent in Go, written from proto/ alone, is recovered (needs go)
	$(BIN)/python -m pytest -q -rs -m "go and not jaeger" tests/system

test-jaeger: $(STAMP) ## one recovery is one trace in a real Jaeger (installed with Go, or named in JAEGER)
	@JAEGER="$$($(BIN)/python -m tests.system.jaeger .mendbus/jaeger)" && export JAEGER && \
		$(BIN)/python -m pytest -q -rs -m "jaeger and node or jaeger and go or jaeger" tests/system/test_whole_traces.py

sbom: $(STAMP) ## results/sbom.json, and the licence of every package in every image
	$(PYTHON) -m venv .venv-sbom
	.venv-sbom/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/sbom.txt
	@mkdir -p results
	.venv-sbom/bin/cyclonedx-py environment $(BIN)/python --output-reproducible -o results/sbom.json
	$(BIN)/python requirements/licences.py

locks: $(STAMP) ## cuts the images' lock files from requirements.txt; the tables of k8s/README.md and the executor's role from the code
	$(BIN)/python requirements/export.py
	$(BIN)/python k8s/reference.py

check-k8s: $(K8S)/.installed ## renders and validates every overlay against the published schemas (kubectl from a wheel), and the Dockerfile
	$(K8S)/bin/python k8s/check.py
	$(K8S)/bin/hadolint Dockerfile

test-compose: $(STAMP) ## brings docker-compose.yml up for real, open and with users, and kills services in it (needs a Docker engine, as root)
	$(BIN)/python k8s/try_compose.py
	$(BIN)/python k8s/try_compose.py --no-build --secure

test-debug: $(STAMP) ## tests with asyncio's debug mode, first failure stops
	PYTHONASYNCIODEBUG=1 $(BIN)/python -X dev -m pytest -x -vv --timeout=300

.PHONY: help setup all demo test check format coverage bench inference validate-recovery-time stress-test chaos cluster simulate fuzz test-upgrade corpus model curve score score-signals oracle fault-lab choice detection preventing record soak lab-scale benchmark-report proto test-browser test-node test-go test-jaeger sbom locks check-k8s test-compose test-debug
