# SPDX-License-Identifier: Apache-2.0
"""The law of a traced prob has the bits of the reference's, however it is traced."""

from __future__ import annotations

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from long import long_unless

from synjit import binomial
from synjit.reference import draw

ONE = 0x3F800000  # bits of float32
BATCH = 64


@pytest.fixture(
    params=long_unless(lambda i, _: i == 0, [False, True]),
    ids=["x32", "x64"],
    autouse=True,
)
def strict(request):
    with (
        jax.enable_x64(request.param),
        jax.numpy_dtype_promotion("strict"),
        jax.numpy_rank_promotion("raise"),
    ):
        yield


@cache
def reference(bits):
    return draw.count_distribution(float(np.uint32(bits).view(np.float32))).encode()


def check(words, bits):
    words = np.asarray(words)
    assert words.dtype == np.uint32
    assert words.shape == (len(bits), draw.CONNECTIVITY_WORDS)
    wrong = [hex(b) for b, w in zip(bits, words, strict=True) if any(w != reference(b))]
    assert wrong == []


def floats(bits):
    return jnp.asarray(np.asarray(bits, np.uint32).view(np.float32))


def random_bits():
    rng = np.random.default_rng(20)
    probs = [
        rng.random(60),
        10 ** rng.uniform(-40, 0, 120),
        1 - 2 ** rng.uniform(-24, -1, 60),
        0.5 + rng.uniform(-1, 1, 20) * 2.0**-20,
    ]
    bits = np.concatenate(probs).astype(np.float32).view(np.uint32)
    return [int(b) for b in (*bits, *rng.integers(0, ONE, 60))]


def special_bits():
    """Powers of two, where the length of chunks changes, and their neighbours.

    With them the ends and the middle; 2**-64, whose CDF(0) is closest to a half
    integer, stands among the powers.
    """
    powers = [exponent << 23 for exponent in range(1, 128)]
    near = [power + step for power in powers[:32:8] for step in (-1, 1)]
    near += [power + step for power in powers[-40:] for step in (-1, 1)]
    ends = [0, 1, 2, 0x007FFFFF, ONE - 2]
    return sorted({b for b in (*powers, *near, *ends) if b <= ONE})


@jax.jit
def scanned(batches):
    """Compile once for both: the laws of a batch, mapped, batch after batch."""
    mapped = jax.vmap(binomial.traced_connectivity)
    return lax.scan(lambda _, probs: (None, mapped(probs)), None, batches)[1]


def test_vmap_inside_scan():
    bits = random_bits() + special_bits()
    bits += [0] * (-len(bits) % BATCH)
    words = scanned(floats(bits).reshape(-1, BATCH))
    check(words.reshape(len(bits), -1), bits)


jitted = jax.jit(binomial.traced_connectivity)


def test_jit():
    bits = random_bits()[::5] + special_bits()[::5]
    check([jitted(prob) for prob in floats(bits)], bits)


@pytest.mark.quick
@pytest.mark.parametrize(
    "prob", [-0.0, -0.25, -1e-45, 1.0000001, 2.0, np.inf, -np.inf, np.nan, -np.nan]
)
def test_no_probability_has_the_law_of_zero(prob):
    check([jitted(jnp.asarray(prob, jnp.float32))], [0])


def test_no_wide_integers_and_no_float_arithmetic():
    prob = jax.ShapeDtypeStruct((), jnp.float32)
    text = str(jax.make_jaxpr(binomial.traced_connectivity)(prob))
    assert "u32[" in text
    assert "64[" not in text
    assert text.count("f32[") == 1  # prob itself


def test_lowers_for_all_platforms():
    traced = jitted.trace(jax.ShapeDtypeStruct((), jnp.float32))
    text = traced.lower(lowering_platforms=("cpu", "cuda", "rocm", "tpu")).as_text()
    assert "custom_call" not in text
