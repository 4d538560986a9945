# SPDX-License-Identifier: Apache-2.0
"""What a call costs: what its events cost, and no memory.

Times here are bounded far above what is measured (``make bench`` measures), and far
below what the wrong algorithm would take.
"""

import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import synjit


@pytest.fixture(autouse=True)
def lists_connections(backend):
    """Skip the example, which asks of every pair of neurons, as its README says."""
    if backend == "xla":
        pytest.skip("it costs the whole matrix, by design")


def seconds(f, *arguments):
    """Time on processors, of all threads: others may have them meanwhile."""
    f(*arguments).block_until_ready()
    times = []
    for _ in range(5):
        start = time.process_time()
        f(*arguments).block_until_ready()
        times.append(time.process_time() - start)
    return min(times)


@pytest.mark.quick
@pytest.mark.parametrize("transpose", [False, True])
def test_no_events_cost_no_matrix(transpose, backend):
    n = 10**5  # 10^9 connections: seconds, if they were looked at

    @jax.jit
    def f(x):
        return synjit.binary_jitnmv(
            1.0, 0.1, 0.1, x, 1, shape=(n, n), transpose=transpose, backend=backend
        )

    assert seconds(f, jnp.zeros(n, bool)) < 0.05


def test_cost_follows_the_events(backend):
    n = 10**5

    @jax.jit
    def f(x):
        return synjit.binary_jitnmv(1.0, 0.1, 0.01, x, 1, shape=(n, n), backend=backend)

    few = np.zeros(n, bool)
    few[:: n // 10] = True
    many = np.zeros(n, bool)
    many[:: n // 1000] = True
    # A hundred times the events; the constant part makes it less, noise may add.
    assert seconds(f, jnp.asarray(many)) < 200 * seconds(f, jnp.asarray(few))
    assert seconds(f, jnp.asarray(few)) < 0.1


@pytest.mark.quick
def test_no_matrix_is_stored(backend):
    n = 10**5

    @jax.jit
    def f(x):
        return synjit.binary_jitnmv(1.0, 0.1, 0.01, x, 1, shape=(n, n), backend=backend)

    memory = f.lower(jnp.zeros(n, bool)).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 100 * n  # the matrix would take 8 * 10^8


WITHOUT_MEMORY = """
import resource, jax, jax.numpy as jnp, synjit
n = 1 << 27
f = jax.jit(lambda x: synjit.binary_jitnmv(1.0, 0.1, 1e-9, x, 1, shape=(9, n)))
x = jnp.ones(n, bool)
f(~x).block_until_ready()
pages = int(open("/proc/self/statm").read().split()[0])
most = pages * resource.getpagesize() + (1 << 28)
resource.setrlimit(resource.RLIMIT_AS, (most, most))
try:
    f(x).block_until_ready()
except jax.errors.JaxRuntimeError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_without_memory_for_a_list_of_the_events_it_says_so():
    program = [sys.executable, "-c", WITHOUT_MEMORY]
    run = subprocess.run(program, check=True, capture_output=True, text=True)
    assert "synjit has no memory to work in" in run.stdout
