# SPDX-License-Identifier: Apache-2.0
# Every target sets up what it needs in .venv, in this checkout, and may be run again.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo test check aot aot-gpu clean

help:
	@echo "make demo   the cortical microcircuit at full scale, with pictures (minutes)"
	@echo "make test   the tests (minutes)"
	@echo "make check  formatting, lint and types"
	@echo "make aot    compile the kernels for accelerators that need not be there (minutes)"
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
	@$(BIN)/mypy

# An environment of its own: with the plugin installed and no GPU, jax complains.
AOT_GPU := .venv-aot-gpu

$(AOT_GPU)/ready: pyproject.toml
	@echo "== setting up $(AOT_GPU): 350 MB (once)"
	@$(PYTHON) -m venv $(AOT_GPU)
	@$(AOT_GPU)/bin/python -m pip install --quiet --disable-pip-version-check --editable .
	@version=$$($(AOT_GPU)/bin/python -c 'import jax; print(jax.__version__)') && \
	$(AOT_GPU)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
	  jax-cuda13-plugin==$$version jax-cuda13-pjrt==$$version \
	  nvidia-cuda-nvcc nvidia-cuda-nvdisasm
	@touch $@

aot: aot-gpu

aot-gpu: $(AOT_GPU)/ready
	@$(AOT_GPU)/bin/python benchmarks/aot_gpu.py

clean:
	rm -rf $(VENV) $(AOT_GPU) demo-out build dist *.egg-info
