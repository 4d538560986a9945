# SPDX-License-Identifier: Apache-2.0
# Every target sets up what it needs in .venv, in this checkout, and may be run again.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Processes of the tests, each of 1 to 1.5 GB.
JOBS ?= 2

.PHONY: help demo test test-quick test-long matrix arm orders faults check release-check \
  bench cold stats crush page docs links nest bench-nest aot aot-gpu aot-rocm aot-tpu \
  mosaic ptx clean

help:
	@echo "make demo   the cortical microcircuit at full scale, with pictures (minutes)"
	@echo "make test   the tests (minutes)"
	@echo "make test-quick    one test or two of each promise (a minute)"
	@echo "make test-long     what make test leaves out (ten minutes)"
	@echo "make matrix        the tests on each Python and JAX that is supported (an hour)"
	@echo "make arm    the same bits on an emulated ARM processor (ten minutes; Debian)"
	@echo "make release-check build, install and try what would be released (half an hour)"
	@echo "make orders every order of three of JAX's transformations (half an hour)"
	@echo "make faults whether the tests see faults that are planted (half an hour)"
	@echo "make check  formatting, lint, types and workflows"
	@echo "make bench  times, beside other ways to the same product (half an hour)"
	@echo "make cold   what a first product takes with an empty cache (minutes)"
	@echo "make stats  every statistic of the draw, at full power (minutes)"
	@echo "make crush  its words through TestU01, which must be installed (hours)"
	@echo "make page   the tables and pictures of docs/the-draw.md"
	@echo "make docs   the site, in build/docs; any warning is an error"
	@echo "make links  whether the addresses in it answer (needs the network)"
	@echo "make bench-nest    the microcircuit in NEST and here (half an hour, 15 GB)"
	@echo "make nest   have NEST read an exported network, in an environment of its own"
	@echo "make aot    compile the kernels for accelerators that are not there (minutes)"
	@echo "make mosaic what Pallas' next compiler for GPUs can do of it (minutes)"
	@echo "make ptx    run what GPU kernels are compiled to, without a GPU (half an hour)"
	@echo "make clean  remove the environment and what the targets wrote"

$(VENV)/ready: pyproject.toml
	@echo "== setting up Python packages in $(VENV) (once; a minute or two)"
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; v >= (3, 11) or sys.exit("synjit needs Python 3.11 or newer, and this is %d.%d: say make PYTHON=python3.12" % v)'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --group dev \
	  --editable . --editable examples/synjit-xla
	@touch $@

demo: $(VENV)/ready
	@$(BIN)/synjit demo --scale 1.0 --duration 1000 --out demo-out

test: $(VENV)/ready
	@echo "== kernels"
	@$(BIN)/python tests/warm_kernels.py
	@echo "== tests"
	@$(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal $(TESTS)

test-quick: $(VENV)/ready
	@$(BIN)/python -m pytest -m quick

# ROWS=3.12-jax0.12 for one of them, TESTS=tests/test_units.py for some of the tests.
TOX := .venv-tox
$(TOX)/ready: pyproject.toml
	@$(PYTHON) -m venv $(TOX)
	@$(TOX)/bin/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	@$(TOX)/bin/python -m pip install --quiet --disable-pip-version-check --group matrix
	@touch $@

matrix: $(TOX)/ready
	@PATH="$$PATH:$$(echo $$HOME/.pyenv/versions/*/bin | tr ' ' :)" \
	  $(TOX)/bin/tox run $(if $(ROWS),-e $(ROWS)) -- $(TESTS)

# CPU=max for another processor than neoverse-n1.
arm: $(VENV)/ready
	@.ci/arm $(BIN)/python

RELEASE := .venv-release
$(RELEASE)/ready: pyproject.toml
	@$(PYTHON) -m venv $(RELEASE)
	@$(RELEASE)/bin/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	@$(RELEASE)/bin/python -m pip install --quiet --disable-pip-version-check --group release
	@touch $@

# PYTHONS='3.12 3.13' for other Pythons than those that are here.
release-check: $(RELEASE)/ready
	@.ci/release-check $(RELEASE)/bin $(PYTHONS)

# What ``make test`` leaves out: most of the interpreted kernels' cases and of the meshes,
# the short statistics, kernels that are compiled again, orders of transformations.
test-long: $(VENV)/ready
	@SYNJIT_ORDERS_EVERY=89 $(BIN)/python -m pytest --numprocesses $(JOBS) \
	  --dist worksteal -m long

# EVERY=89 for all orders of two, and one in 89 of those of three (minutes).
EVERY ?= 1
orders: $(VENV)/ready
	@echo "== orders of two and of three transformations"
	@SYNJIT_ORDERS_EVERY=$(EVERY) $(BIN)/python -m pytest --numprocesses $(JOBS) \
	  --dist worksteal -m long tests/test_transform_orders.py

# FILE=reference for those of some files.
faults: $(VENV)/ready
	@$(BIN)/python benchmarks/planted_faults.py $(FILE)

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
	@echo "== workflows"
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(BIN)/zizmor --quiet --offline --no-progress --min-severity medium .github/workflows

$(VENV)/docs-ready: $(VENV)/ready
	@echo "== setting up the packages of the docs in $(VENV) (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group docs
	@touch $@

SPHINX = $(BIN)/python -m sphinx --fail-on-warning --keep-going --nitpicky --quiet

docs: $(VENV)/docs-ready
	@rm -rf docs/api build/docs
	@$(SPHINX) -b html docs build/docs
	@echo "build/docs/index.html"

links: $(VENV)/docs-ready
	@$(SPHINX) -b linkcheck docs build/links

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

# NEST, to read what is exported, in an environment of its own. Its wheel has no HDF5,
# and the edges are then read by h5py. NEST_OPTIONS="--no-binary nest-simulator -C
# cmake.define.with-hdf5=ON" compiles one that has it: it needs cmake, a C++ compiler,
# GSL and HDF5 with headers.
NEST := .venv-nest
NEST_OPTIONS ?=

$(NEST)/ready: pyproject.toml
	@echo "== setting up $(NEST): 200 MB (once)"
	@$(PYTHON) -m venv $(NEST)
	@$(NEST)/bin/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	@$(NEST)/bin/python -m pip install --quiet --disable-pip-version-check --group test \
	  --editable . libsonata pandas
	@$(NEST)/bin/python -m pip install --quiet --disable-pip-version-check \
	  $(NEST_OPTIONS) nest-simulator==3.10
	@touch $@

nest: $(NEST)/ready
	@echo "== an exported network in NEST"
	@$(NEST)/bin/python -c 'import h5py, nest'
	@$(NEST)/bin/python -m pytest -rs tests/test_nest.py

# 15 GB of memory. What NEST gave is kept: remove build/nest to simulate again.
bench-nest: $(NEST)/ready $(VENV)/ready
	@for seed in 55 56; do \
	  test -e build/nest/$$seed.json || $(NEST)/bin/python \
	    benchmarks/microcircuit_nest.py --seed $$seed --out build/nest/$$seed.npz || exit; \
	done
	@$(BIN)/python benchmarks/microcircuit_compare.py build/nest/55.npz build/nest/56.npz

aot: aot-gpu aot-rocm aot-tpu

# Environments of their own: with a plugin installed and no device, jax complains.
# JAX=0.12 PYTHON=python3.12 for another jax than the newest that the Python here can have.
JAX ?=
AOT_GPU := .venv-aot-gpu$(if $(JAX),-$(JAX))
AOT_ROCM := .venv-aot-rocm
AOT_TPU := .venv-aot-tpu

$(AOT_GPU)/ready: pyproject.toml
	@echo "== setting up $(AOT_GPU): 350 MB (once)"
	@$(PYTHON) -m venv $(AOT_GPU)
	@$(AOT_GPU)/bin/python -m pip install --quiet --disable-pip-version-check --editable . \
	  $(if $(JAX),'jax==$(JAX).*')
	@version=$$($(AOT_GPU)/bin/python -c 'import jax; print(jax.__version__)') && \
	$(AOT_GPU)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
	  jax-cuda13-plugin==$$version jax-cuda13-pjrt==$$version \
	  nvidia-cuda-nvcc nvidia-cuda-nvdisasm absl-py
	@touch $@

$(AOT_ROCM)/ready: pyproject.toml
	@echo "== setting up $(AOT_ROCM): 1 GB, most of it Triton (once)"
	@$(PYTHON) -m venv $(AOT_ROCM)
	@$(AOT_ROCM)/bin/python -m pip install --quiet --disable-pip-version-check --editable . \
	  triton==3.9.0
	@touch $@

$(AOT_TPU)/ready: pyproject.toml
	@echo "== setting up $(AOT_TPU) (once)"
	@$(PYTHON) -m venv $(AOT_TPU)
	@$(AOT_TPU)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[tpu]'
	@touch $@

aot-gpu: $(AOT_GPU)/ready
	@echo "== GPU kernels, compiled for H100 and A100 (no GPU is needed)"
	@$(AOT_GPU)/bin/python benchmarks/aot_gpu.py

aot-rocm: $(AOT_ROCM)/ready
	@echo "== GPU kernels, compiled for MI300 (no GPU is needed)"
	@$(AOT_ROCM)/bin/python -W ignore benchmarks/aot_rocm.py

mosaic: $(AOT_GPU)/ready
	@echo "== what kernels need, compiled by Mosaic GPU (no GPU is needed)"
	@$(AOT_GPU)/bin/python -W ignore benchmarks/mosaic_gpu.py $(MOSAIC)

# PTX=... are options of benchmarks/ptx, such as '--gpus H100 --parts faults --seed 7'.
ptx: $(AOT_GPU)/ready
	@echo "== what GPU kernels are compiled to, executed (no GPU is needed)"
	@PYTHONPATH=benchmarks $(AOT_GPU)/bin/python -W ignore -m ptx $(PTX)

aot-tpu: $(AOT_TPU)/ready
	@echo "== TPU kernels, compiled by libtpu (no TPU is needed)"
	@$(AOT_TPU)/bin/python benchmarks/aot_tpu.py

clean:
	rm -rf $(VENV) .venv-arm $(BRAINEVENT) $(NEST) .venv-aot-gpu* $(AOT_ROCM) $(AOT_TPU) $(TOX) $(RELEASE) \
	  .tox demo-out build dist docs/api *.egg-info examples/*/src/*.egg-info
