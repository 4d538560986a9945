# SPDX-License-Identifier: Apache-2.0
# Every target sets up what it needs in .venv, in this checkout, and may be run again.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo test check aot aot-tpu clean

help:
	@echo "make demo   the cortical microcircuit at full scale, with pictures (minutes)"
	@echo "make test   the tests (minutes)"
	@echo "make check  formatting, lint and types"
	@echo "make aot    compile the kernels for accelerators that are not there (minutes)"
	@echo "make clean  remove the environment and what the targets wrote"

$(VENV)/ready: pyproject.toml
	@echo "== setting up Python packages in $(VENV) (once; a minute or two)"
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit("synjit needs Python 3.11 to 3.13, and this is %d.%d: say make PYTHON=python3.12" % v)'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(VENV)/ready
	@$(BIN)/synjit demo --scale 1.0 --duration 1000 --out demo-out

test: $(VENV)/ready
	@echo "== tests"
	@$(BIN)/python -m pytest

check: $(VENV)/ready
	@echo "== format"
	@$(BIN)/ruff format --check
	@echo "== lint"
	@$(BIN)/ruff check
	@echo "== types"
	@rm -rf build/types && mkdir -p build/types
	@cp -r core build/types/synjit
	@cp -r reference build/types/synjit/reference
	@cp -r backends build/types/synjit/backends
	@cd build/types && $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/pyproject.toml -p synjit

aot: aot-tpu

aot-tpu: $(VENV)/ready
	@echo "== TPU kernels, compiled by libtpu (no TPU is needed)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[tpu]'
	@$(BIN)/python benchmarks/aot_tpu.py

clean:
	rm -rf $(VENV) demo-out build dist *.egg-info
