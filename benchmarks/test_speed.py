# SPDX-License-Identifier: Apache-2.0
"""Times of the products for pytest-benchmark, to compare one commit with the next.

``pytest benchmarks/test_speed.py --benchmark-autosave``, then, on another commit,
``--benchmark-compare``.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import synjit

SHAPE = (10_000, 10_000)


def operand(product, activity, transpose=False):
    """Draw events, or values that are 0 where there is none."""
    length = SHAPE[0] if transpose else SHAPE[1]
    size = (length, 10) if product.endswith("mm") else (length,)
    active = np.random.default_rng(0).random(size) < activity
    return jnp.asarray(active if product.startswith("binary") else active * 1.5)


@pytest.mark.parametrize("activity", [0.0, 0.001, 0.01, 0.1, 1.0])
@pytest.mark.parametrize("prob", [0.01, 0.1, 0.77])
@pytest.mark.parametrize("transpose", [False, True])
def test_events(benchmark, transpose, prob, activity):
    """Both directions, from no events to all."""
    benchmark.group = f"events, transpose={transpose}, prob={prob}"
    measure(benchmark, "binary_jitnmv", prob, activity, transpose)


@pytest.mark.parametrize("prob", [0.01, 0.1, 0.77])
@pytest.mark.parametrize("product", ["jitnmv", "binary_jitnmm", "jitnmm"])
def test_other_products(benchmark, product, prob):
    """Floats, and ten columns at once."""
    benchmark.group = product
    measure(benchmark, product, prob, 0.1 if product.startswith("binary") else 1.0)


@pytest.mark.parametrize("prob", [0.01, 0.1, 0.77])
def test_dense(benchmark, prob):
    """The matrix written out."""
    benchmark.group = "jitn"
    call = jax.jit(lambda: synjit.jitn(1.0, 0.1, prob, 42, shape=SHAPE))
    benchmark(lambda: call().block_until_ready())


def measure(benchmark, product, prob, activity, transpose=False):
    """Time one jitted product, compiled before."""
    function = getattr(synjit, product)
    call = jax.jit(
        lambda x: function(1.0, 0.1, prob, x, 42, shape=SHAPE, transpose=transpose)
    )
    x = operand(product, activity, transpose)
    call(x).block_until_ready()
    benchmark(lambda: call(x).block_until_ready())
