# Each target makes the virtual environment it needs; nothing has to be installed by hand but Python 3.11 or newer.
PYTHON ?= python3
UV := .tools/uv/bin/uv
UV_VERSION := 0.13.9
RUN := .venv/bin
export UV_PROJECT_ENVIRONMENT := .venv

.PHONY: demo test check bench format clean
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

demo: .venv/.demo
	@$(RUN)/graticule demo $(if $(ONCE),--once) $(if $(JSON),--json) $(if $(PORT),--port $(PORT))

test: .venv/.dev .venv-iam/.ready
	$(RUN)/pytest $(ARGS)

check: .venv/.dev
	$(RUN)/ruff check src tests benchmarks
	$(RUN)/ruff format --check src tests benchmarks
	$(RUN)/mypy
	$(RUN)/lint-imports

bench: .venv/.dev
	$(RUN)/python -m benchmarks $(ARGS)

format: .venv/.dev
	$(RUN)/ruff check --fix --exit-zero src tests benchmarks
	$(RUN)/ruff format src tests benchmarks

clean:
	rm -rf .venv .venv-iam .tools .demo
