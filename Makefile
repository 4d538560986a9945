# SPDX-License-Identifier: Apache-2.0
# Every target sets up what it needs in .venv, in this checkout, and may be run again.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo test orders check bench cold stats crush page aot aot-gpu aot-tpu clean

help:
	@echo "make demo   the cortical microcircuit at full scale, with pictures (minutes)"
	@echo "make test   the tests (minutes)"
	@echo "make orders every order of three of JAX's transformations (half an hour)"
	@echo "make check  formatting, lint and types"
	@echo "make bench  times, beside other ways to the same product (half an hour)"
	@echo "make cold   what a first product takes with an empty cache (minutes)"
	@echo "make stats  every statistic of the draw, at full power (minutes)"
	@echo "make crush  its words through TestU01, which must be installed (hours)"
	@echo "make page   the tables and pictures of docs/the-draw.md"
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

orders: $(VENV)/ready
	@echo "== every order of three transformations"
	@SYNJIT_ALL_ORDERS=1 $(BIN)/python -m pytest tests/test_transform_orders.py

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

# brainevent, to compare with, in an environment of its own.
BRAINEVENT := .venv-brainevent

$(BRAINEVENT)/ready: pyproject.toml
	@echo "== setting up $(BRAINEVENT) (once)"
	@$(PYTHON) -m venv $(BRAINEVENT)
	@$(BRAINEVENT)/bin/python -m pip install --quiet --disable-pip-version-check \
	  brainevent==0.2.1 numba
	@touch $@

bench: $(VENV)/ready $(BRAINEVENT)/ready
	@echo "== times of this commit"
	@$(BIN)/python -m pytest benchmarks/test_speed.py --benchmark-columns=median,iqr,rounds
	@echo "== beside others"
	@$(BIN)/python benchmarks/bench.py --brainevent $(BRAINEVENT)/bin/python
	@echo "== against activity, prob and size: speed.json, speed.png"
	@rm -f speed.json && $(BIN)/python benchmarks/plot.py speed.json speed.png

cold: $(VENV)/ready
	@$(BIN)/python benchmarks/cold_start.py

# SEED=N draws other matrices, TIMES=4 four times as much; results: build/stats.
SEED ?= 20261123
TIMES ?= 1
BATTERY := PYTHONPATH=benchmarks $(BIN)/python -m

stats: $(VENV)/ready
	@mkdir -p build/stats
	@echo "== the law of the weights, over all 2^32 words"
	@$(BATTERY) battery.weight_law --every-word --json build/stats/weight_law.json
	@echo "== planted defects: each must be caught"
	@$(BATTERY) battery --defects --seed $(SEED) --json build/stats/defects.json
	@echo "== the draw: nothing may fail"
	@$(BATTERY) battery --seed $(SEED) --times $(TIMES) --json build/stats/synjit.json

# TESTU01=/usr/local for one that is not Debian's.
TESTU01 ?= /usr
crush: $(VENV)/ready
	@mkdir -p build/stats
	@$(BATTERY) battery.crush small --testu01 $(TESTU01) --log build/stats/small.log
	@$(BATTERY) battery.crush crush --testu01 $(TESTU01) --log build/stats/crush.log

page: $(VENV)/ready
	@$(BATTERY) battery.page

aot: aot-gpu aot-tpu

# Environments of their own: with a plugin installed and no device, jax complains.
AOT_GPU := .venv-aot-gpu
AOT_TPU := .venv-aot-tpu

$(AOT_GPU)/ready: pyproject.toml
	@echo "== setting up $(AOT_GPU): 350 MB (once)"
	@$(PYTHON) -m venv $(AOT_GPU)
	@$(AOT_GPU)/bin/python -m pip install --quiet --disable-pip-version-check --editable .
	@version=$$($(AOT_GPU)/bin/python -c 'import jax; print(jax.__version__)') && \
	$(AOT_GPU)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
	  jax-cuda13-plugin==$$version jax-cuda13-pjrt==$$version \
	  nvidia-cuda-nvcc nvidia-cuda-nvdisasm
	@touch $@

$(AOT_TPU)/ready: pyproject.toml
	@echo "== setting up $(AOT_TPU) (once)"
	@$(PYTHON) -m venv $(AOT_TPU)
	@$(AOT_TPU)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[tpu]'
	@touch $@

aot-gpu: $(AOT_GPU)/ready
	@echo "== GPU kernels, compiled for H100 and A100 (no GPU is needed)"
	@$(AOT_GPU)/bin/python benchmarks/aot_gpu.py

aot-tpu: $(AOT_TPU)/ready
	@echo "== TPU kernels, compiled by libtpu (no TPU is needed)"
	@$(AOT_TPU)/bin/python benchmarks/aot_tpu.py

clean:
	rm -rf $(VENV) $(BRAINEVENT) $(AOT_GPU) $(AOT_TPU) demo-out build dist *.egg-info
