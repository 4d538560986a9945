# SPDX-License-Identifier: Apache-2.0
"""The experiment on TPUs' SparseCores: its body, on stand-ins for what only they have.

No interpreter of Pallas runs such a kernel. Here memory is an array of NumPy, loops
are Python's, and scatters and gathers are indexing: the arithmetic is the kernel's own.
"""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from synjit import reference
from synjit.reference import normal

LANES = 8
SEED, PROB, COLUMNS = 2**40 + 5, 0.01, np.array([3, 17, 2**31 + 7], np.uint32)


class Memory:
    """A memory that a kernel reads and writes, in whole or in slices."""

    def __init__(self, array):
        self.array = np.asarray(array).view(np.int32).copy()

    @property
    def shape(self):
        return self.array.shape

    def cut(self, part):
        return slice(int(part.start), int(part.start) + part.size)

    def __getitem__(self, part):
        return jax.numpy.asarray(self.array[self.cut(part)])

    def __setitem__(self, part, values):
        self.array[self.cut(part)] = values

    @property
    def at(self):
        return Views(self)


class Views:
    """What ``memory.at`` is: slices that are written through."""

    def __init__(self, memory):
        self.memory = memory

    def __getitem__(self, part):
        view = Memory(np.zeros(0, np.int32))
        view.array = self.memory.array[self.memory.cut(part)]
        return view


def gather(memory, index):
    return jax.numpy.asarray(memory.array[np.asarray(index[0])])


def add(memory, index, values, mask):
    mask = np.asarray(mask)
    places = np.asarray(index[0])[mask]
    assert len(set(places)) == len(places)
    memory.array[places] += np.asarray(values)[mask]


def copy(source, to):
    to.array[...] = source.array


def loop(start, stop, body, state):
    for i in range(int(start), int(stop)):
        state = body(jax.numpy.int32(i), state)
    return state


@pytest.fixture
def experiment(monkeypatch):
    path = Path(__file__).parents[1] / "benchmarks" / "sparse_core.py"
    spec = importlib.util.spec_from_file_location("sparse_core", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    info = SimpleNamespace(num_cores=1, num_subcores=2, num_lanes=LANES)
    module.plsc = SimpleNamespace(
        get_sparse_core_info=lambda: info,
        load_gather=gather,
        addupdate_scatter=add,
        bitcast=jax.lax.bitcast_convert_type,
    )
    module.pltpu = SimpleNamespace(sync_copy=copy)
    places = {"core": 0, "subcore": 1}
    module.lax = SimpleNamespace(
        axis_index=places.__getitem__, iota=jax.lax.iota, fori_loop=loop
    )
    return module


def test_its_arithmetic_gives_the_reference_s_bits(experiment):
    rows = 2**experiment.LOG2_CHUNK
    law = reference.count_distribution(PROB)
    assert law.log2_chunk == experiment.LOG2_CHUNK
    words = reference.seed_words(SEED)
    own = rows + np.arange(rows)[:, None]  # of the second subcore
    connected, z = reference.entry(words, law, own, COLUMNS)
    counts = connected.sum(0).astype(np.int32)
    assert counts.min() > LANES

    parameters = np.zeros(16, np.uint32)
    parameters[:3] = *words, len(COLUMNS)
    given = [Memory(m) for m in (parameters, COLUMNS, counts, np.array(normal.TABLE))]
    n_out, z_out = (Memory(np.zeros(2 * rows, np.int32)) for _ in range(2))
    sums = [Memory(np.full(rows, 99, np.int32)) for _ in range(2)]
    inner = [Memory(np.zeros_like(m.array)) for m in given]
    with jax.numpy_dtype_promotion("standard"):
        experiment.kernel(*given, n_out, z_out, *sums, *inner)
    np.testing.assert_array_equal(n_out.array[rows:], connected.sum(1))
    np.testing.assert_array_equal(z_out.array[rows:], np.where(connected, z, 0).sum(1))
    assert not n_out.array[:rows].any()
