# SPDX-License-Identifier: Apache-2.0
"""The CPU kernels on XLA's threads: the same bits for any number, and no accidents."""

import ctypes
import gc
import hashlib
import importlib
import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numba
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

import synjit
from synjit.backends.numba_cpu import frame as ffi_frame
from synjit.backends.numba_cpu import threads

SEED = 12
# Rows alone are cut; rows and events; one tile, events alone; a chunk for all rows.
PROBLEMS = [
    (0.1, (60_000, 40)),
    (0.77, (3_000, 2_000)),
    (0.01, (5_000, 60_000)),
    (1e-4, (30_000, 40_000)),
]


def results(prob, shape, batch=1):
    """Every product, as NumPy arrays."""
    m, n = shape
    rng = np.random.default_rng(1)
    out = []
    for transpose in (False, True):
        operand = rng.standard_normal((m if transpose else n, batch)).astype(np.float32)
        for product in (synjit.binary_jitnmm, synjit.jitnmm):
            result = product(
                0.5, 0.1, prob, operand, SEED, shape=shape, transpose=transpose
            )
            out += [result]
    if m * n < 10**7:
        out.append(synjit.jitn(0.5, 0.1, prob, SEED, shape=shape))
    return [np.asarray(array) for array in out]


@pytest.mark.quick
@pytest.mark.parametrize(
    ("prob", "shape", "batch"),
    [(*problem, 1) for problem in PROBLEMS] + [(*PROBLEMS[1], 3)],
)
def test_any_number_of_threads_gives_the_same_bits(prob, shape, batch, monkeypatch):
    monkeypatch.setenv("SYNJIT_NUM_THREADS", "1")
    alone = results(prob, shape, batch)
    for number in ("2", "3"):
        monkeypatch.setenv("SYNJIT_NUM_THREADS", number)
        for got, want in zip(results(prob, shape, batch), alone, strict=True):
            np.testing.assert_array_equal(got, want)


def test_several_python_threads_at_once():
    prob, shape = PROBLEMS[1]
    alone = results(prob, shape)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda _: results(prob, shape), range(8)))
    for each in together:
        for got, want in zip(each, alone, strict=True):
            np.testing.assert_array_equal(got, want)


def test_several_devices_at_once():
    prob, shape = PROBLEMS[2]
    events = np.random.default_rng(0).random((shape[1], 4)) < 0.5
    mesh = jax.make_mesh((4,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))

    def product(events):
        return synjit.binary_jitnmm(1.0, 0.1, prob, events, SEED, shape=shape)

    sharded = jax.jit(
        jax.shard_map(product, mesh=mesh, in_specs=P(None, "x"), out_specs=P(None, "x"))
    )
    expected = product(jnp.asarray(events))
    for _ in range(20):
        np.testing.assert_array_equal(sharded(events), expected)


SCRIPT = """
    import hashlib, os, sys
    import jax, numpy as np, synjit

    jax.config.update("jax_cpu_enable_async_dispatch", False)

    def digest():
        events = np.arange(3000) % 2 == 0
        y = synjit.binary_jitnmv(0.5, 0.1, 0.01, events, 12, shape=(5000, 3000))
        return hashlib.sha256(np.asarray(y).tobytes()).hexdigest()
"""


def run_script(text):
    script = textwrap.dedent(SCRIPT) + textwrap.dedent(text)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def expected_digest():
    events = np.arange(3000) % 2 == 0
    y = synjit.binary_jitnmv(0.5, 0.1, 0.01, events, 12, shape=(5000, 3000))
    return hashlib.sha256(np.asarray(y).tobytes()).hexdigest()


def test_kernels_from_the_disk_cache_run_on_threads():
    assert expected_digest() in run_script("print(digest())")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_after_a_fork():
    out = run_script("""
        print(digest(), flush=True)
        child = os.fork()
        if child == 0:
            print(digest(), flush=True)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    """)
    assert out == [expected_digest()] * 2


# --- a pool of our own ----------------------------------------------------------------

Word = ctypes.c_int64
Task = ctypes.CFUNCTYPE(None, Word)
Service = ctypes.CFUNCTYPE(Word, Word)


class Pool:
    """An FFI frame whose thread pool does what a test says."""

    def __init__(self, schedule, count=8):
        def on_schedule(arguments):
            words = (Word * 5).from_address(arguments)
            schedule(Task(words[3]), words[4])
            return 0

        def on_count(arguments):
            Word.from_address((Word * 4).from_address(arguments)[3]).value = count
            return 0

        self.services = Service(on_schedule), Service(on_count)
        self.api, self.words = (Word * 24)(), (Word * 24)()
        numbers = (threads.API_SCHEDULE, threads.API_NUM_THREADS)
        for number, service in zip(numbers, self.services, strict=True):
            self.api[number] = ctypes.cast(service, ctypes.c_void_p).value
        self.words[ffi_frame.FRAME_API] = ctypes.addressof(self.api)
        self.frame = ctypes.addressof(self.words)


@numba.njit
def note(frame, part, slot, fresh):
    ffi_frame.store_word(ffi_frame.word(frame, 23) + 8 * part, slot + 1)


run_notes = threads.in_parts(note)


@pytest.mark.parametrize("when", ["at once", "late", "never"])
def test_tasks_may_start_at_any_time(when):
    waiting = []

    def schedule(task, job):
        if when == "at once":
            task(job)
        else:
            waiting.append((task, job))

    pool = Pool(schedule)
    for parts in (1, 2, 7, 100):
        done = np.zeros(parts, np.int64)
        pool.words[23] = done.ctypes.data
        slots = run_notes(pool.frame, parts, 4)
        assert slots == 1  # the first to come took all parts
        np.testing.assert_array_equal(done, 1)
        if when == "late":
            done[:] = 0
            for task, job in waiting:
                task(job)
            np.testing.assert_array_equal(done, 0)
            waiting.clear()


def test_the_environment_limits_the_threads(monkeypatch):
    pool = Pool(lambda task, job: None, count=8)
    # Compiled again: of a function that is a part of a kernel, Python gets none.
    available = numba.njit(threads.available_threads.py_func)
    for text, number in [("", 8), ("0", 8), ("3", 3), ("99", 8), ("no number", 8)]:
        monkeypatch.setenv("SYNJIT_NUM_THREADS", text)
        assert available(pool.frame) == number
    monkeypatch.delenv("SYNJIT_NUM_THREADS")
    assert available(pool.frame) == 8


def test_kernels_of_several_processes_cannot_be_mixed_up():
    """Numba tells functions of one name apart by a number that starts in each process.

    A kernel from the disk cache would call another's function of that name and number.
    """
    importlib.import_module("synjit.backends.numba_cpu.handlers")
    prefix = "synjit.backends.numba_cpu."
    functions = {
        id(o.py_func): (o.py_func.__module__, o.py_func.__qualname__)
        for o in gc.get_objects()
        # of a weak proxy whose object is gone, isinstance() would ask the object
        if issubclass(type(o), numba.core.dispatcher.Dispatcher)
        and o.py_func.__module__.startswith(prefix)
    }
    names = list(functions.values())
    assert len(names) > 100
    assert [name for name in names if names.count(name) > 1] == []
